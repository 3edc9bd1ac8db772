create or replace function loci_private.schedule_job(name text, schedule text, command text)
returns boolean
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_extension as e where e.extname = 'pg_cron') then
        return false;
    end if;
    execute 'select cron.schedule($1, $2, $3)'
    using schedule_job.name, schedule_job.schedule, schedule_job.command;
    return true;
end $$;
comment on function loci_private.schedule_job(text, text, text) is
'Schedule a job by its name, or change the one there is. False where pg_cron is not installed in this database.';
revoke execute on function loci_private.schedule_job(text, text, text) from public;
