create or replace function loci_private.follow_schedule()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci.schedule_jobs();
    return null;
end $$;
comment on function loci_private.follow_schedule() is 'The jobs follow the settings drain_schedule and drain_workers at once.';
revoke execute on function loci_private.follow_schedule() from public;
create or replace trigger settings__schedule
after update of value on loci.settings
for each row when (new.name in ('drain_schedule', 'drain_workers') and new.value is distinct from old.value)
execute function loci_private.follow_schedule();
