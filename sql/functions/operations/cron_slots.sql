create or replace function loci_private.cron_slots()
returns integer
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select nullif(current_setting('cron.max_running_jobs', true), '')::integer
$$;
comment on function loci_private.cron_slots() is
'How many jobs pg_cron runs at a time; null where it is not loaded. Runs as the installer: others are not shown the setting.';
revoke execute on function loci_private.cron_slots() from public;
grant execute on function loci_private.cron_slots() to loci_owner;
