create or replace function loci_private.text_config(name text)
returns regconfig
language sql stable parallel safe
as $$
    select c.oid::pg_catalog.regconfig
    from pg_catalog.pg_ts_config as c
    join pg_catalog.pg_namespace as n on n.oid = c.cfgnamespace
    where text_config.name in (c.cfgname, n.nspname || '.' || c.cfgname)
    order by n.nspname = 'pg_catalog' desc, n.nspname
    limit 1
$$;
comment on function loci_private.text_config(text) is 'A text search configuration by its name, with or without schema; null when there is none.';
revoke execute on function loci_private.text_config(text) from public;
