create or replace function loci_private.keep_scopes()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid;
begin
    -- tg_argv[0]: the kind of scope, tg_argv[1]: its key column.
    if tg_op = 'DELETE' then
        v_id := (to_jsonb(old) ->> tg_argv[1])::uuid;
        delete from loci_private.scopes as s where s.scope_id = v_id;
        return null;
    end if;
    v_id := (to_jsonb(new) ->> tg_argv[1])::uuid;
    -- An audience names users and teams by their ids alone: a team with a user's id would be that user.
    if exists (select from loci.teams as t where t.team_id = v_id) then
        raise exception 'this id already names a team'
            using errcode = 'LC103', hint = 'Let the database choose ids: leave the column out.';
    end if;
    delete from loci_private.forgotten as f where f.user_hash = sha256(uuid_send(v_id));
    insert into loci_private.scopes as s (scope_id, kind, organization_id)
    values (v_id, tg_argv[0], case when tg_argv[0] <> 'user' then (to_jsonb(new) ->> 'organization_id')::uuid end)
    on conflict (scope_id) do update set organization_id = excluded.organization_id
    where s.kind = excluded.kind;
    if not found then
        raise exception 'this id already names another organization, project or user'
            using errcode = 'LC103', hint = 'Let the database choose ids: leave the column out.';
    end if;
    return null;
end $$;
comment on function loci_private.keep_scopes() is 'Keep loci_private.scopes in step with organizations, projects and users.';
revoke execute on function loci_private.keep_scopes() from public;
create or replace trigger organizations__scopes
after insert or delete on loci.organizations
for each row execute function loci_private.keep_scopes('organization', 'organization_id');
create or replace trigger projects__scopes
after insert or delete on loci.projects
for each row execute function loci_private.keep_scopes('project', 'project_id');
create or replace trigger users__scopes
after insert or delete on loci.users
for each row execute function loci_private.keep_scopes('user', 'user_id');

create or replace function loci_private.keep_teams_apart()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from loci_private.scopes as s where s.scope_id = new.team_id) then
        raise exception 'this id already names an organization, project or user'
            using errcode = 'LC103', hint = 'Let the database choose ids: leave the column out.';
    end if;
    return null;
end $$;
comment on function loci_private.keep_teams_apart() is
'A team never has the id of a user, whom an audience names likewise, nor that of another scope (LC103).';
revoke execute on function loci_private.keep_teams_apart() from public;
create or replace trigger teams__scopes
after insert on loci.teams
for each row execute function loci_private.keep_teams_apart();

create or replace function loci_private.refuse_key_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% of loci.% never changes', tg_argv[0], tg_table_name
        using errcode = 'LC104', hint = 'Insert a new row and delete the old one.';
end $$;
comment on function loci_private.refuse_key_change() is 'Ids of organizations, projects, teams and users name scopes and audiences everywhere and never change, nor does a project''s organization (LC104).';
revoke execute on function loci_private.refuse_key_change() from public;
create or replace trigger organizations__fixed_key
before update of organization_id on loci.organizations
for each row when (old.organization_id is distinct from new.organization_id)
execute function loci_private.refuse_key_change('organization_id');
create or replace trigger projects__fixed_key
before update of project_id on loci.projects
for each row when (old.project_id is distinct from new.project_id)
execute function loci_private.refuse_key_change('project_id');
-- What is in it was split, embedded and paid for by the rules of one organization.
create or replace trigger projects__fixed_organization
before update of organization_id on loci.projects
for each row when (old.organization_id is distinct from new.organization_id)
execute function loci_private.refuse_key_change('organization_id');
create or replace trigger teams__fixed_key
before update of team_id on loci.teams
for each row when (old.team_id is distinct from new.team_id)
execute function loci_private.refuse_key_change('team_id');
create or replace trigger users__fixed_key
before update of user_id on loci.users
for each row when (old.user_id is distinct from new.user_id)
execute function loci_private.refuse_key_change('user_id');
