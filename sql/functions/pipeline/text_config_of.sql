create or replace function loci_private.text_config_of(organization_id uuid)
returns regconfig
language sql stable parallel safe
as $$
    select coalesce(
        (
            select loci_private.text_config(o.settings ->> 'text_search_config')
            from loci.organizations as o
            where o.organization_id = text_config_of.organization_id
        ),
        loci_private.text_config(loci.setting('text_search_config')),
        'pg_catalog.simple'::regconfig
    )
$$;
comment on function loci_private.text_config_of(uuid) is 'Text search configuration of an organization: its own, else the setting.';
revoke execute on function loci_private.text_config_of(uuid) from public;
