-- Who may touch what. Functions and views grant themselves in their own files; everything else is here.
do $$
declare
    v_table regclass;
begin
    -- A right that is no longer written below ends with the next migration, columns included.
    for v_table in
        select c.oid::regclass from pg_class as c
        where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind in ('r', 'p')
    loop
        execute format('revoke all on %s from public, loci_app, loci_admin, loci_worker, loci_monitor, loci_proposer, loci_approver', v_table);
    end loop;
end $$;
revoke all on schema loci, loci_private, loci_readers from public;
grant usage on schema loci to loci_app, loci_admin, loci_worker, loci_monitor, loci_proposer, loci_approver;
grant usage on schema loci_private to loci_worker;

grant select on loci.organizations, loci.users, loci.embedding_models, loci.settings to loci_app;
-- Not its models, its budget or its key: those are the administrator's.
grant update (name) on loci.organizations to loci_app;
grant select, insert, update, delete on loci.documents to loci_app;
-- What an answer rests on and how sure it is, the machinery writes; what was said is never rewritten.
grant select, insert (organization_id, title, metadata), update (title, metadata), delete
on loci.conversations to loci_app;
grant select, insert (conversation_id, role, content, metadata, created_at), delete on loci.messages to loci_app;
-- What says where something belongs is told once; when somebody joined is never told: the organization joined first
-- decides over a user's own rows.
grant select, delete on
loci.organization_members, loci.teams, loci.team_members, loci.projects, loci.project_members
to loci_app;
grant insert (organization_id, user_id, role), update (role) on loci.organization_members to loci_app;
-- Ids are the database's: a project with the id of one that is gone would open what is left of its rows, a team with a
-- user's id what is meant for the user.
grant insert (organization_id, name), update (name) on loci.teams to loci_app;
grant insert (organization_id, name, visibility, team_id), update (name, visibility, team_id)
on loci.projects to loci_app;
grant insert on loci.team_members, loci.project_members to loci_app;

grant select, insert, update, delete on
loci.organizations, loci.users, loci.organization_members, loci.teams, loci.team_members, loci.projects,
loci.project_members, loci.documents, loci.conversations, loci.messages
to loci_admin;
grant select, update (value) on loci.settings to loci_admin;
grant select, delete, insert (organization_id, name, kind, pattern, checksum, enabled, description),
update (kind, pattern, checksum, enabled, description)
on loci.redaction_patterns to loci_admin;
grant select on loci.embedding_models to loci_admin, loci_monitor;
grant select, insert, update, delete on loci.model_prices to loci_admin;
grant select on loci.model_prices to loci_monitor;

-- Whoever configures may also run the drain.
grant loci_worker to loci_admin;
