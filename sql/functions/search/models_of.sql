create or replace function loci_private.models_of(scopes uuid [])
returns integer []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_active integer[];
begin
    select array_agg(distinct a.active_model) into v_active from loci_private.model_assignments as a;
    -- Usually all organizations have the same.
    if cardinality(v_active) = 1 and v_active[1] is not null then
        return v_active;
    end if;
    return coalesce((
        select array_agg(distinct a.active_model)
        from unnest(loci_private.organizations_of(models_of.scopes)) as o (organization_id)
        cross join lateral loci_private.assignment_of(o.organization_id) as a
        where a.active_model is not null
    ), '{}');
end $$;
comment on function loci_private.models_of(uuid []) is 'Models whose vectors the rows of these scopes are searched with.';
revoke execute on function loci_private.models_of(uuid []) from public;
