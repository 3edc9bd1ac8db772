create or replace function loci_private.text_config_of(organization_id uuid)
returns regconfig
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (
            select loci_private.text_config(o.settings ->> 'text_search_config')
            from loci.organizations as o
            where o.organization_id = text_config_of.organization_id and o.settings ? 'text_search_config'
        ),
        loci_private.text_config(loci.setting('text_search_config')),
        'pg_catalog.simple'::regconfig
    );
end $$;
comment on function loci_private.text_config_of(uuid) is 'Text search configuration of an organization: its own, else the setting.';
revoke execute on function loci_private.text_config_of(uuid) from public;
