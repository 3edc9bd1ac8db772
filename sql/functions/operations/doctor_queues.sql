create or replace function loci_private.doctor_queues()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queue name;
    v_now constant timestamptz := loci_private.now();
    v_lease constant interval := make_interval(secs => loci.setting('lease_seconds')::integer);
begin
    for v_queue in select q.queue from loci_private.queues as q order by 1 loop
        return query execute format(
            'select ''warning'', ''queues'', $1,
                format(''%%s entries have been leased since %%s by %%s'', count(*), date_trunc(''second'', min(q.leased_at)),
                    coalesce(''process '' || s.pid, ''a session that is gone'')),
                coalesce(''select pg_terminate_backend('' || s.pid || '');'', ''call loci.drain();'')
            from loci_private.%I as q
            left join loci_private.leases as l on l.lease = q.lease
            left join loci_private.sessions() as s on s.pid = l.pid and s.backend_start = l.backend_start
            where q.lease is not null and q.leased_at < $2 - $3
            group by s.pid', v_queue
        ) using v_queue::text, v_now, v_lease;
    end loop;
    return query
    select 'warning', 'queues', w.queue, format('work has been waiting since %s', date_trunc('second', min(w.enqueued_at))),
        'call loci.drain();'
    from (
        select 'row_queue' as queue, q.enqueued_at
        from loci_private.row_queue as q
        where q.lease is null and q.available_at <= v_now and not exists (
            select from loci_private.sources as s where s.source_id = q.source_id and s.broken_since is not null
        )
        union all
        select 'row_queue', b.enqueued_at from loci_private.row_bulk as b
        union all
        select 'embed_queue', q.enqueued_at
        from loci_private.embed_queue as q
        where q.lease is null and q.available_at <= v_now and not exists (
            select from loci_private.model_health as h where h.model_id = q.model_id and h.cooldown_until > v_now
        )
        union all
        select 'completion_queue', q.enqueued_at
        from loci_private.completion_queue as q
        where q.lease is null and q.available_at <= v_now and not exists (
            select from loci_private.model_health as h where h.chat_gateway is not null and h.cooldown_until > v_now
        )
    ) as w
    group by w.queue
    having min(w.enqueued_at) < v_now - interval '15 minutes';
    return query
    select 'warning', 'queues', 'turns', format('%s questions wait for an answer that did not come in time', count(*)),
        'select loci_private.close_turns();'
    from loci_private.turns as t
    where t.status = 'open' and t.begun_at < v_now - make_interval(secs => loci.setting('turn_seconds')::integer) - interval '15 minutes'
    having count(*) > 0;
    return query
    select 'warning', 'queues', coalesce(s.name, f.stage),
        format('%s were given up (%s): %s', count(*), f.stage, left(min(f.error ->> 'message'), 100)),
        case when s.name is null then 'select loci.retry_failures();' else format('select loci.retry_failures(%L);', s.name) end
    from loci_private.failures as f
    left join loci_private.sources as s on s.source_id = f.source_id
    group by s.name, f.stage;
    return query
    select 'warning', 'queues', 'observations', 'more than 100,000 observations have not been counted', 'call loci.drain();'
    where not pg_is_in_recovery() and pg_relation_size('loci_private.observations') > 64 * 1048576
        and (select count(*) from loci_private.observations) > 100000;
end $$;
comment on function loci_private.doctor_queues() is
'What loci.doctor() has to say about work: leases that are held too long, work that nobody takes, turns without an answer, what was given up.';
revoke execute on function loci_private.doctor_queues() from public;
