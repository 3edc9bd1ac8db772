create or replace function loci_private.cron_database()
returns text
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select nullif(current_setting('cron.database_name', true), '')
$$;
comment on function loci_private.cron_database() is 'The database of this server that pg_cron lives in; null where pg_cron is not loaded.';
revoke execute on function loci_private.cron_database() from public;
grant execute on function loci_private.cron_database() to loci_owner;
