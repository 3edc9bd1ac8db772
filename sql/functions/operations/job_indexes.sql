create or replace function loci_private.job_indexes()
returns integer
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_plan record;
    v_job text;
    v_count integer := 0;
begin
    if not exists (select from pg_extension as e where e.extname = 'pg_cron') then
        return 0;
    end if;
    for v_plan in select p.* from loci_private.index_plan() as p loop
        v_job := format('loci index %s', v_plan.model_id);
        if v_plan.statement is not null then
            if v_plan.state = 'invalid' then
                -- What a parallel build lacks most often is shared memory: the next one does without.
                execute format(
                    'alter table loci_private.%I set (parallel_workers = 0)', loci_private.model_table(v_plan.model_id)
                );
            end if;
            -- A statement of its own, because neither a function nor a transaction can run it. It does nothing the second time.
            execute 'select cron.schedule($1, $2, $3)' using v_job, '* * * * *', v_plan.statement;
            v_count := v_count + 1;
        elsif v_plan.state <> 'building' then
            execute 'select cron.unschedule(j.jobid) from cron.job as j where j.jobname = $1 and j.database = current_database()'
            using v_job;
        end if;
    end loop;
    -- Models that were dropped meanwhile.
    execute
        'select cron.unschedule(j.jobid) from cron.job as j
        where j.jobname ~ ''^loci index [0-9]+$'' and j.database = current_database()
            and not exists (select from loci.embedding_models as m where j.jobname = ''loci index '' || m.model_id)';
    perform loci_private.log_event('job', jsonb_build_object('job', 'loci indexes', 'due', v_count));
    return v_count;
end $$;
comment on function loci_private.job_indexes() is
'Let pg_cron build the indexes that are due and drop invalid ones, each by a job of its own; returns how many have work to do.';
revoke execute on function loci_private.job_indexes() from public;
