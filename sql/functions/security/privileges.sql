-- Who may touch what. Functions grant themselves in their own files; everything else is here.
revoke all on schema loci, loci_private from public;
grant usage on schema loci to loci_app, loci_admin, loci_worker, loci_monitor;
grant usage on schema loci_private to loci_worker;

grant select on loci.organizations, loci.users, loci.embedding_models, loci.settings to loci_app;
-- Not its models, its budget or its key: those are the administrator's.
grant update (name) on loci.organizations to loci_app;
grant select, insert, update, delete on
loci.organization_members, loci.teams, loci.team_members, loci.projects, loci.project_members, loci.documents
to loci_app;

grant select, insert, update, delete on
loci.organizations, loci.users, loci.organization_members, loci.teams, loci.team_members, loci.projects,
loci.project_members, loci.documents
to loci_admin;
grant select, update (value) on loci.settings to loci_admin;
grant select on loci.embedding_models to loci_admin, loci_monitor;

-- Whoever configures may also run the drain.
grant loci_worker to loci_admin;
