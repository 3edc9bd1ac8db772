create or replace function loci_private.metric_samples()
returns table (metric text, labels jsonb, value double precision)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := loci_private.now();
    v_queue name;
begin
    for v_queue in select q.queue from loci_private.queues as q order by 1 loop
        return query execute format(
            'select v.metric, jsonb_build_object(''queue'', $1), v.value
            from (
                select count(q.queue_id) + case when $1 = ''row_queue'' then b.depth else 0 end as depth,
                    least(min(q.enqueued_at), case when $1 = ''row_queue'' then b.oldest end) as oldest
                from (
                    select coalesce(sum(cardinality(r.keys)), 0) as depth, min(r.enqueued_at) as oldest from loci_private.row_bulk as r
                ) as b
                left join loci_private.%I as q on true
                group by b.depth, b.oldest
            ) as q
            cross join lateral (
                values (''queue_depth'', q.depth::double precision),
                (''queue_oldest_seconds'', coalesce(greatest(extract(epoch from $2 - q.oldest), 0), 0)::double precision)
            ) as v (metric, value)', v_queue
        ) using v_queue::text, v_now;
    end loop;
    return query
    select 'failures', jsonb_build_object('state', t.state), count(f.state)::double precision
    from unnest(array['parked', 'retrying', 'broken', 'waiting']) as t (state)
    left join loci.failures as f on f.state = t.state
    group by t.state;
    return query
    select 'model_up', jsonb_build_object('model', m.name), (h.model_id is null)::integer::double precision
    from loci.embedding_models as m
    left join loci_private.model_health as h on h.model_id = m.model_id and h.outages > 0
    union all
    select 'model_up', jsonb_build_object('chat_gateway', g.gateway), (h.chat_gateway is null)::integer::double precision
    from loci_private.gateways as g
    left join loci_private.model_health as h on h.chat_gateway = g.gateway and h.outages > 0
    where g.gateway = loci.setting('chat_gateway') and g.base_url is not null;
    return query
    select v.metric, jsonb_build_object('job', j.job), v.value
    from loci_private.cron_jobs() as j
    cross join lateral (
        values
        ('job_up', (j.active and j.last_status is distinct from 'failed')::integer::double precision),
        ('job_last_run_seconds_ago', extract(epoch from v_now - j.last_start)::double precision)
    ) as v (metric, value)
    where v.value is not null;
    return query
    select v.metric, jsonb_build_object('kind', c.kind), v.value
    from loci_private.cache_counts() as c
    cross join lateral (
        values
        ('cache_hits_total', c.hits::double precision),
        ('cache_misses_total', c.misses::double precision),
        ('cache_evictions_total', c.evictions::double precision),
        ('cache_hit_rate', coalesce(c.hits::double precision / nullif(c.hits + c.misses, 0), 0))
    ) as v (metric, value);
    return query
    select 'turns_open', '{}'::jsonb, count(*)::double precision from loci_private.turns as t where t.status = 'open';
    -- A model may embed and chat under one name.
    return query
    select 'llm_tokens_total', jsonb_build_object('model', m.name, 'type', 'embedding'), sum(u.tokens)::double precision
    from loci_private.model_usage as u
    join loci.embedding_models as m on m.model_id = u.model_id
    group by m.name;
    return query
    select 'llm_cost_usd_total', jsonb_build_object('model', coalesce(e.name, s.labels ->> 'model')),
        coalesce(e.cost, 0) + coalesce(s.total, 0)
    from (
        select m.name, sum(u.cost_usd)::double precision as cost
        from loci_private.model_usage as u
        join loci.embedding_models as m on m.model_id = u.model_id
        group by m.name
    ) as e
    full join (
        select c.labels, c.total from loci_private.metric_series as c where c.metric = 'llm_cost_usd_total'
    ) as s on s.labels ->> 'model' = e.name;
end $$;
comment on function loci_private.metric_samples() is 'Figures of this moment for loci.metrics(); the rest is in loci_private.metric_series.';
revoke execute on function loci_private.metric_samples() from public;
