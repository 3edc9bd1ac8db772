create or replace function loci_private.job_housekeeping()
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    if not exists (select from pg_extension as e where e.extname = 'pg_cron') then
        return 0;
    end if;
    -- Also runs of jobs that are scheduled no more.
    execute
        'delete from cron.job_run_details as d
        where d.database = current_database()
            and (
                d.command in (select j.command from loci_private.job_definitions as j)
                or d.command ~ ''^(CREATE|DROP) INDEX CONCURRENTLY .*embeddings_[0-9]+_hnsw''
            )
            and d.end_time < $1 - make_interval(days => $2)'
    using loci_private.now(), loci.setting('job_history_days')::integer;
    get diagnostics v_count = row_count;
    perform loci_private.purge_caches();
    perform loci_private.purge_actions();
    perform loci_private.log_event('job', jsonb_build_object('job', 'loci housekeeping', 'removed', v_count));
    return v_count;
end $$;
comment on function loci_private.job_housekeeping() is
'Tidy the caches and what is over of actions, and remove old rows of cron.job_run_details, which pg_cron itself keeps for ever; returns how many of these.';
revoke execute on function loci_private.job_housekeeping() from public;
