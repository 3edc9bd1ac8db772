create or replace function loci_private.schedule_job(name text, schedule text, command text)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into loci_private.job_definitions (job, schedule, command)
    values (schedule_job.name, schedule_job.schedule, schedule_job.command)
    on conflict on constraint job_definitions_pkey do update set
    schedule = excluded.schedule, command = excluded.command;
    perform loci.schedule_jobs();
end $$;
comment on function loci_private.schedule_job(text, text, text) is
'Define a job by its name, or change the one there is, and schedule it where pg_cron is. schedule null: as the settings for drains say.';
revoke execute on function loci_private.schedule_job(text, text, text) from public;
