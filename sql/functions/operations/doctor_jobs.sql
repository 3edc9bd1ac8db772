create or replace function loci_private.doctor_jobs()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lives_in constant text := loci_private.cron_database();
    v_now constant timestamptz := loci_private.now();
begin
    if v_lives_in is null then
        return next row(
            'warning', 'jobs', 'pg_cron', 'it is not loaded: nothing runs by itself unless another scheduler calls loci.drain()',
            'docker/install-postgres.sh --check'
        )::loci_private.finding;
        return;
    elsif v_lives_in <> current_database() then
        return next row(
            'note', 'jobs', 'pg_cron', format('it lives in database %I: whether jobs run cannot be seen from here', v_lives_in),
            'select statement from loci.schedule_jobs();'
        )::loci_private.finding;
        return;
    elsif not exists (select from pg_extension as e where e.extname = 'pg_cron') then
        return next row(
            'warning', 'jobs', 'pg_cron', 'the extension is not installed in this database: nothing runs by itself',
            e'create extension pg_cron;\nselect * from loci.schedule_jobs();'
        )::loci_private.finding;
        return;
    end if;
    return query
    select 'warning', 'jobs', w.job, 'the job is not scheduled', 'select * from loci.schedule_jobs();'
    from (
        select d.job || case when d.schedule is null then format(' %s', n) else '' end as job
        from loci_private.job_definitions as d
        cross join lateral generate_series(1, case when d.schedule is null then loci.setting('drain_workers')::integer else 1 end) as n
    ) as w
    where not exists (select from loci_private.cron_jobs() as j where j.job = w.job)
    order by 3;
    return query
    select 'warning', 'jobs', j.job,
        case
            when not j.active then 'the job is turned off'
            when j.last_status = 'failed' then format('it failed at %s: %s', date_trunc('second', j.last_start), left(j.last_message, 200))
            when j.last_end is null and j.last_start is not null
                then format('it has been running since %s', date_trunc('second', j.last_start))
            else format(
                'it should run every %s and %s', l.every,
                coalesce('ran last at ' || date_trunc('second', j.last_start), 'has never run')
            )
        end,
        case
            when not j.active then format(
                'select cron.alter_job(jobid, active => true) from cron.job where jobname = %L and database = current_database();', j.job
            )
            when j.last_status = 'failed' then rtrim(j.command, ';') || ';'
            when j.last_end is null and j.last_start is not null then format(
                'select pg_cancel_backend(r.job_pid) from cron.job_run_details as r join cron.job as j using (jobid) '
                'where j.jobname = %L and r.status = ''running'';', j.job
            )
            -- The launcher is started again at once.
            else 'select pg_terminate_backend(pid) from pg_stat_activity where backend_type = ''pg_cron launcher'';'
        end
    from loci_private.cron_jobs() as j
    cross join lateral (select make_interval(secs => loci_private.job_seconds(j.schedule)) as every) as l
    where not j.active
        or j.last_status = 'failed'
        or (
            coalesce(j.last_start, (select i.installed_at from loci_private.installation as i))
            < v_now - 3 * l.every - make_interval(secs => loci.setting('drain_seconds')::integer)
        )
    order by j.job;
end $$;
comment on function loci_private.doctor_jobs() is
'What loci.doctor() has to say about pg_cron''s jobs: missing, turned off, failed, hanging, or not run for three times as long as they should.';
revoke execute on function loci_private.doctor_jobs() from public;
