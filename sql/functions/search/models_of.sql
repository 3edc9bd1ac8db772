create or replace function loci_private.models_of(scopes uuid [])
returns integer []
language sql stable parallel safe
as $$
    select coalesce(array_agg(distinct a.active_model), '{}')
    from (
        select distinct loci_private.organization_of(s.scope_id) as organization_id
        from unnest(scopes) as s (scope_id)
    ) as o
    cross join lateral loci_private.assignment_of(o.organization_id) as a
    where a.active_model is not null
$$;
comment on function loci_private.models_of(uuid []) is 'Models whose vectors the rows of these scopes are searched with.';
revoke execute on function loci_private.models_of(uuid []) from public;
