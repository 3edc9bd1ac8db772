create or replace function loci.status()
returns table (component text, ok boolean, detail text, since timestamptz)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select 'version', true,
        format('Loci %s on PostgreSQL %s, pgvector %s', i.version, split_part(current_setting('server_version'), ' ', 1),
            (select e.extversion from pg_extension as e where e.extname = 'vector')),
        i.installed_at
    from loci_private.installation as i;

    return query
    select 'python', loci_private.python_version() is not distinct from i.version,
        coalesce('loci_udfs ' || loci_private.python_version(), 'the server cannot import loci_udfs')
        || case when loci_private.python_version() = i.version then '' else format(', the database is %s: install the package of that version and reconnect', i.version) end,
        null::timestamptz
    from loci_private.installation as i;

    return query
    select 'model', a.active_model is not distinct from a.target_model and h.model_id is null,
        case
            when a.active_model is not distinct from a.target_model then format('%s (%s, %s dimensions)', t.name, t.provider, t.dimensions)
            else format('%s is filling, chunks to go: %s; queries use %s', t.name,
                (select count(*) from loci_private.embed_queue as q where q.model_id = t.model_id)
                || case
                    when exists (
                        select from loci_private.chunking_assignments as c
                        where c.assignment_id = a.assignment_id and c.active_chunking <> c.target_chunking
                            and c.fed_row < 9223372036854775807
                    ) then ' and more rows to split' else ''
                end, coalesce(m.name, 'none'))
        end || coalesce(' for ' || o.name, '')
        || case when h.model_id is null then '' else format(
            '; its gateway is left alone until %s: %s (%s)',
            date_trunc('second', h.cooldown_until), h.error ->> 'message', h.error ->> 'sqlstate'
        ) end,
        coalesce(h.since, a.assigned_at)
    from loci_private.model_assignments as a
    join loci.embedding_models as t on t.model_id = a.target_model
    left join loci.embedding_models as m on m.model_id = a.active_model
    left join loci_private.model_health as h on h.model_id = t.model_id and h.outages > 0
    left join loci.organizations as o on o.organization_id = a.organization_id
    order by o.name nulls first;

    return query
    select 'chat', h.subject is null,
        coalesce(loci.setting('chat_model'), 'no default model') || coalesce(', then ' || loci.setting('chat_fallback_model'), '')
        || case when h.subject is null then '' else format(
            '; its gateway is left alone until %s: %s (%s)',
            date_trunc('second', h.cooldown_until), h.error ->> 'message', h.error ->> 'sqlstate'
        ) end,
        h.since
    from loci_private.gateways as g
    left join loci_private.model_health as h on h.chat_gateway = g.gateway and h.outages > 0
    where g.gateway = loci.setting('chat_gateway')
        and (g.base_url is not null or loci.setting('chat_model') is not null);

    return query
    select 'queue', coalesce(min(q.enqueued_at) > loci_private.now() - interval '15 minutes', true),
        format('%s rows, %s chunks and %s completions waiting', coalesce(sum(q.waiting) filter (where q.what = 'row'), 0),
            count(*) filter (where q.what = 'chunk'), count(*) filter (where q.what = 'completion')),
        min(q.enqueued_at)
    from (
        select 'row' as what, 1 as waiting, enqueued_at from loci_private.row_queue
        union all
        select 'row', cardinality(keys), enqueued_at from loci_private.row_bulk
        union all
        select 'chunk', 1, enqueued_at from loci_private.embed_queue
        union all
        select 'completion', 1, enqueued_at from loci_private.completion_queue
    ) as q;

    return query
    select 'failures', count(*) = 0,
        case when count(*) = 0 then 'none' else format(
            '%s parked or retrying, %s broken sources; select * from loci.failures',
            count(*) filter (where f.state in ('parked', 'retrying')), count(*) filter (where f.state = 'broken')
        ) end,
        min(f.since)
    from loci.failures as f
    where f.state <> 'waiting';

    return query
    select 'jobs',
        case
            -- What pg_cron does for this database from another one cannot be seen.
            when count(*) > 0 or coalesce(loci_private.cron_database(), current_database()) = current_database()
                then count(*) filter (where j.active) > 0 and count(*) filter (where j.last_status = 'failed') = 0
        end,
        case
            when count(*) = 0 and loci_private.cron_database() is null
                then 'none scheduled: pg_cron is not loaded; let another scheduler call loci.drain()'
            when count(*) = 0 and loci_private.cron_database() = current_database()
                then 'none scheduled: create extension pg_cron; select * from loci.schedule_jobs(); until then call loci.drain() by hand'
            when count(*) = 0 then format(
                'none to be seen: pg_cron lives in database "%s"; run there what select statement from loci.schedule_jobs() returns, or call loci.drain() by hand',
                loci_private.cron_database()
            )
            else format('%s scheduled, %s failed last time', count(*), count(*) filter (where j.last_status = 'failed'))
        end,
        max(j.last_start)
    from loci.jobs as j;
end $$;
comment on function loci.status() is
'One row a component: is it well, what is there to know, since when. Start here.';
revoke execute on function loci.status() from public;
grant execute on function loci.status() to loci_admin, loci_monitor;
