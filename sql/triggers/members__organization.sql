create or replace function loci_private.fill_organization()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.organization_id is null then
        if tg_table_name = 'team_members' then
            select t.organization_id into new.organization_id from loci.teams as t where t.team_id = new.team_id;
        else
            select p.organization_id into new.organization_id from loci.projects as p where p.project_id = new.project_id;
        end if;
    end if;
    return new;
end $$;
comment on function loci_private.fill_organization() is 'A member row may leave its organization out: the team or project tells it.';
revoke execute on function loci_private.fill_organization() from public;
create or replace trigger team_members__organization
before insert on loci.team_members
for each row execute function loci_private.fill_organization();
create or replace trigger project_members__organization
before insert on loci.project_members
for each row execute function loci_private.fill_organization();
