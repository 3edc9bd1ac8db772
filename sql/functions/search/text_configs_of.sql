create or replace function loci_private.text_configs_of(scopes uuid [])
returns regconfig []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select distinct loci_private.text_config_of(o.organization_id)
        from unnest(loci_private.organizations_of(text_configs_of.scopes)) as o (organization_id)
    );
end $$;
comment on function loci_private.text_configs_of(uuid []) is 'Text search configurations that the rows of these scopes were indexed with.';
revoke execute on function loci_private.text_configs_of(uuid []) from public;
