create or replace function loci_private.assignment_of(organization_id uuid)
returns loci_private.model_assignments
language sql stable parallel safe
as $$
    select a
    from loci_private.model_assignments as a
    where a.organization_id = assignment_of.organization_id or a.organization_id is null
    order by a.organization_id nulls last
    limit 1
$$;
comment on function loci_private.assignment_of(uuid) is 'The model assignment in force for an organization: its own, else the default.';
revoke execute on function loci_private.assignment_of(uuid) from public;
