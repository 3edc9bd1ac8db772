create or replace function loci_private.text_configs_of(scopes uuid [])
returns regconfig []
language sql stable parallel safe
as $$
    select coalesce(array_agg(distinct loci_private.text_config_of(o.organization_id)), '{}')
    from (
        select distinct loci_private.organization_of(s.scope_id) as organization_id
        from unnest(scopes) as s (scope_id)
    ) as o
$$;
comment on function loci_private.text_configs_of(uuid []) is 'Text search configurations that the rows of these scopes were indexed with.';
revoke execute on function loci_private.text_configs_of(uuid []) from public;
