create or replace function loci_private.text_config(name text)
returns regconfig
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select c.oid::regconfig
        from pg_ts_config as c
        join pg_namespace as n on n.oid = c.cfgnamespace
        where c.cfgname = text_config.name and n.nspname in ('pg_catalog', 'public')
        order by n.nspname
        limit 1
    );
end $$;
comment on function loci_private.text_config(text) is 'A text search configuration of pg_catalog or public by its name; null when there is none.';
revoke execute on function loci_private.text_config(text) from public;
