create or replace function loci.visible_projects()
returns table (project_id uuid, organization_id uuid, name text, visibility text)
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select p.project_id, p.organization_id, p.name, p.visibility
    from loci.projects as p
    where p.project_id = any(loci.visible_scopes())
    order by p.name, p.project_id;
end $$;
comment on function loci.visible_projects() is 'Projects the current user may see, across all organizations; none when nobody is named.';
revoke execute on function loci.visible_projects() from public;
grant execute on function loci.visible_projects() to loci_app, loci_admin;
