create or replace function loci_private.doctor_settings()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model record;
    v_installer constant name := (
        select pg_get_userbyid(p.proowner) from pg_proc as p where p.oid = 'loci_private.job_indexes()'::regprocedure
    );
    v_work constant bigint := pg_size_bytes(loci_private.setting_of_jobs('maintenance_work_mem'));
    v_free constant bigint := loci_private.shared_memory();
    v_workers integer;
begin
    for v_model in
        select p.model, p.state, p.vectors, m.dimensions,
            -- A graph in memory: the vector, and the neighbours of its layers.
            (p.vectors * (2 * m.dimensions + 800))::bigint as bytes,
            format('loci_private.%I', loci_private.model_table(p.model_id)) as relation,
            coalesce((
                select o.option_value::integer
                from pg_class as c
                cross join pg_options_to_table(c.reloptions) as o
                where c.oid = to_regclass(format('loci_private.%I', loci_private.model_table(p.model_id)))
                    and o.option_name = 'parallel_workers'
            ), current_setting('max_parallel_maintenance_workers')::integer) as workers
        from loci_private.index_plan() as p
        join loci.embedding_models as m on m.model_id = p.model_id
        where p.state not in ('not needed', 'missing')
    loop
        if v_model.bytes > v_work then
            return next row(
                case when v_model.state = 'ready' then 'note' else 'warning' end, 'settings', 'maintenance_work_mem',
                format('the index of %s has %s vectors and takes about %s to build in memory; %s are allowed', v_model.model,
                    v_model.vectors, pg_size_pretty(v_model.bytes), pg_size_pretty(v_work)),
                format('alter role %I in database %I set maintenance_work_mem = %L;', v_installer, current_database(),
                    ceil(v_model.bytes * 1.2 / 1048576) || 'MB')
            )::loci_private.finding;
        end if;
        if v_model.state <> 'ready' and v_model.workers > 0 and current_setting('dynamic_shared_memory_type') = 'posix'
            and least(v_model.bytes, v_work) > v_free
        then
            return next row(
                'warning', 'settings', '/dev/shm',
                format('a parallel build of the index of %s needs about %s there, %s are free', v_model.model,
                    pg_size_pretty(least(v_model.bytes, v_work)), pg_size_pretty(v_free)),
                format('alter table %s set (parallel_workers = 0);', v_model.relation)
            )::loci_private.finding;
        end if;
    end loop;
    if loci_private.setting_of_jobs('jit') = 'on' then
        return next row(
            'note', 'settings', 'jit', 'compiling a statement takes longer than a search does',
            format('alter database %I set jit = off;', current_database())
        )::loci_private.finding;
    end if;
    if loci_private.setting_of_jobs('synchronous_commit') = 'off' then
        return next row(
            'note', 'settings', 'synchronous_commit', 'a crash loses what was committed in the last moments',
            format('alter database %I set synchronous_commit = on;', current_database())
        )::loci_private.finding;
    end if;
    if current_setting('autovacuum') = 'off' or current_setting('track_counts') = 'off' then
        return next row(
            'error', 'settings', 'autovacuum', 'nothing clears the queues of what was worked off',
            e'alter system set autovacuum = on;\nalter system set track_counts = on;\nselect pg_reload_conf();'
        )::loci_private.finding;
    end if;
    v_workers := loci.setting('drain_workers')::integer;
    if v_workers >= loci_private.cron_slots() then
        return next row(
            'warning', 'settings', 'drain_workers',
            format('%s drains leave pg_cron, which runs %s jobs at a time, no room for the others', v_workers, loci_private.cron_slots()),
            format('update loci.settings set value = %L where name = ''drain_workers'';', greatest(loci_private.cron_slots() - 2, 1))
        )::loci_private.finding;
    end if;
    return query
    select 'warning', 'settings', 'max_connections',
        format('%s of %s connections are in use', s.used, current_setting('max_connections')),
        format(e'alter system set max_connections = %s;   -- then restart the server', current_setting('max_connections')::integer * 2)
    from (select sum(d.numbackends) as used from pg_stat_database as d) as s
    where s.used > 0.9 * current_setting('max_connections')::integer;
end $$;
comment on function loci_private.doctor_settings() is
'What loci.doctor() has to say about the server''s settings: memory for index builds, jit, autovacuum, connections, room for jobs.';
revoke execute on function loci_private.doctor_settings() from public;
