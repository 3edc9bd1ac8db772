create or replace function loci_private.lock_sources(sources text [], keys text [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_memories bigint[];
    v_messages bigint[];
begin
    perform from unnest(lock_sources.sources, lock_sources.keys) as k (source, key)
    join loci_private.sources as s on s.name = k.source
    join loci_private.source_rows as r on r.source_id = s.source_id and r.key = k.key
    order by r.row_id
    for update of r;
    select array_agg(k.key::bigint) filter (where k.source = 'memories'), array_agg(k.key::bigint) filter (where k.source = 'messages')
    into v_memories, v_messages
    from unnest(lock_sources.sources, lock_sources.keys) as k (source, key)
    where k.source in ('memories', 'messages') and k.key ~ '^[1-9][0-9]{0,17}$';
    perform from loci.conversations as c
    where c.conversation_id in (
        select case when k.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then k.key::uuid end
        from unnest(lock_sources.sources, lock_sources.keys) as k (source, key) where k.source = 'conversations'
    )
    order by c.conversation_id
    for update;
    perform from loci.messages as m where m.message_id = any(v_messages) order by m.message_id for update;
    perform from loci_private.turns as t
    where t.turn_id in (
        select o.turn_id
        from unnest(lock_sources.sources, lock_sources.keys) as k (source, key)
        join loci_private.turns as o on o.passages @> jsonb_build_array(jsonb_build_object('source', k.source, 'key', k.key))
    )
    order by t.turn_id
    for update;
    perform from loci_private.memories as m where m.memory_id = any(v_memories) order by m.memory_id for update;
    perform from loci_private.evicted_memories as e where e.memory_id = any(v_memories) order by e.memory_id for update;
end $$;
comment on function loci_private.lock_sources(text [], text []) is
'Lock rows that are going to be erased: nothing more is derived from them.';
revoke execute on function loci_private.lock_sources(text [], text []) from public;
