create or replace function loci_private.cron_jobs()
returns table (
    job text, schedule text, command text, active boolean, last_start timestamptz, last_end timestamptz,
    last_status text, last_message text, failures bigint
)
language plpgsql stable parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_extension as e where e.extname = 'pg_cron') then
        return;
    end if;
    return query execute
        'select j.jobname::text, j.schedule, j.command, j.active, d.start_time, d.end_time, d.status, d.return_message, f.failures
        from cron.job as j
        left join lateral (
            select r.* from cron.job_run_details as r where r.jobid = j.jobid order by r.runid desc limit 1
        ) as d on true
        left join lateral (
            select count(*) as failures from cron.job_run_details as r where r.jobid = j.jobid and r.status = ''failed''
        ) as f on true
        where j.jobname like ''loci %'' and j.database = current_database()
        order by j.jobname';
end $$;
comment on function loci_private.cron_jobs() is 'Loci''s jobs of pg_cron with their last run; none where pg_cron is not installed.';
revoke execute on function loci_private.cron_jobs() from public;
grant execute on function loci_private.cron_jobs() to loci_owner, loci_admin, loci_monitor;
