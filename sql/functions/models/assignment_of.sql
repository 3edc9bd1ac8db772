create or replace function loci_private.assignment_of(organization_id uuid)
returns loci_private.model_assignments
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_assignment loci_private.model_assignments;
begin
    select a.* into v_assignment
    from loci_private.model_assignments as a
    where a.organization_id = assignment_of.organization_id or a.organization_id is null
    order by a.organization_id nulls last
    limit 1;
    return v_assignment;
end $$;
comment on function loci_private.assignment_of(uuid) is 'The model assignment in force for an organization: its own, else the default.';
revoke execute on function loci_private.assignment_of(uuid) from public;
