create or replace function loci_private.evict_memories(memory_ids bigint [])
returns setof integer
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
    v_wanted integer := loci.setting('condensed_memories')::integer;
begin
    -- Not even looked at where nothing is logged: every memory of a full scope comes by here.
    if loci.setting('log_events') = 'true' then
        perform loci_private.log_event('eviction', jsonb_build_object(
            'of', 'memories', 'scope_id', m.scope_id, 'count', count(*)
        ))
        from loci_private.memories as m
        where m.memory_id = any(evict_memories.memory_ids)
        group by m.scope_id;
    end if;
    -- What was derived from them stands for them now, and comes from where they came from.
    insert into loci_private.memory_lineage (memory_id, source, key, consumed)
    select d.memory_id, l.source, l.key, l.consumed
    from loci_private.memory_lineage as l
    join loci_private.memory_lineage as d on d.source = 'memories' and d.key = l.memory_id::text
    where l.memory_id = any(evict_memories.memory_ids)
    on conflict do nothing;
    update loci_private.memory_lineage as l
    set consumed = true
    from unnest(evict_memories.memory_ids) as e (memory_id)
    where l.source = 'memories' and l.key = e.memory_id::text;
    if v_wanted > 0 then
        insert into loci_private.evicted_memories (memory_id, scope_id, audience, content, stated, created_by, lineage, evicted_at)
        select
            m.memory_id, m.scope_id, m.audience, m.content, m.stated, m.created_by,
            coalesce((
                select jsonb_agg(jsonb_build_object('source', l.source, 'key', l.key, 'consumed', l.consumed))
                from loci_private.memory_lineage as l
                where l.memory_id = m.memory_id
            ), '[]'),
            v_now
        from loci_private.memories as m
        where m.memory_id = any(evict_memories.memory_ids) and m.memory_type <> 'working'
            and m.superseded_at is null and (m.expires_at is null or m.expires_at > v_now)
        on conflict do nothing;
        -- Where no model is to be had the oldest of them are lost after all.
        delete from loci_private.evicted_memories as e
        where e.memory_id in (
            select w.memory_id
            from (
                select o.memory_id, row_number() over (partition by o.scope_id order by o.evicted_at desc, o.memory_id desc) as n
                from loci_private.evicted_memories as o
                where o.scope_id in (
                    select m.scope_id from loci_private.memories as m where m.memory_id = any(evict_memories.memory_ids)
                )
            ) as w
            where w.n > 20 * v_wanted
        );
    end if;
    return query
    delete from loci_private.memories as m where m.memory_id = any(evict_memories.memory_ids) returning m.slot;
end $$;
comment on function loci_private.evict_memories(bigint []) is
'Take memories out for want of room; their slots. What was derived from them inherits their lineage, and where the setting condensed_memories says so they wait to be condensed.';
revoke execute on function loci_private.evict_memories(bigint []) from public;
