create or replace function loci.schedule_jobs()
returns table (job text, schedule text, command text, scheduled boolean, statement text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_here constant boolean := exists (select from pg_extension as e where e.extname = 'pg_cron');
    v_lives_in constant text := loci_private.cron_database();
    v_job bigint;
    v_same boolean;
begin
    perform loci_private.check_schedule(loci.setting('drain_schedule'));
    for job, schedule, command in
        select d.job || case when d.schedule is null then format(' %s', w.n) else '' end,
            coalesce(d.schedule, loci.setting('drain_schedule')), d.command
        from loci_private.job_definitions as d
        cross join lateral generate_series(
            1, case when d.schedule is null then loci.setting('drain_workers')::integer else 1 end
        ) as w (n)
        order by d.job, w.n
    loop
        scheduled := v_here;
        statement := null;
        if v_here then
            -- One that is as it should be is left alone, also when somebody has made it inactive.
            execute
                'select exists (
                    select from cron.job as j
                    where j.database = current_database() and j.username = current_user
                        and (j.jobname, j.schedule, j.command) = ($1, $2, $3)
                )' into v_same using job, schedule, command;
            if not v_same then
                execute 'select cron.schedule($1, $2, $3)' using job, schedule, command;
            end if;
        elsif v_lives_in = current_database() then
            statement := 'create extension pg_cron; select * from loci.schedule_jobs();';
        elsif v_lives_in is not null then
            -- Names of jobs are shared by all databases that pg_cron works in.
            statement := format(
                'select cron.schedule_in_database(%L, %L, %L, %L);',
                format('%s in %s', job, current_database()), schedule, command, current_database()
            );
        end if;
        return next;
    end loop;
    if v_here then
        -- Surplus workers, and what another superuser scheduled under these names.
        for v_job in execute
            'select j.jobid
            from cron.job as j
            where j.database = current_database() and exists (
                select from loci_private.job_definitions as d
                where case when d.schedule is null then
                        j.jobname ~ (''^'' || d.job || '' [0-9]+$'')
                        and (
                            j.username <> current_user
                            or substring(j.jobname, ''[0-9]+$'')::numeric > loci.setting(''drain_workers'')::numeric
                        )
                    else j.jobname = d.job and j.username <> current_user
                    end
            )'
        loop
            execute 'select cron.unschedule($1)' using v_job;
        end loop;
    end if;
end $$;
comment on function loci.schedule_jobs() is
'Bring pg_cron''s jobs in line with Loci''s and with the settings drain_schedule and drain_workers; done by itself when one of them changes. Where pg_cron lives in another database, statement is what to run there. LC291 where the schedule needs a newer pg_cron.';
revoke execute on function loci.schedule_jobs() from public;
grant execute on function loci.schedule_jobs() to loci_owner, loci_admin;
