create or replace function loci_private.erase(sources text [], keys text [])
returns table (relation text, rows bigint, what text)
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_sources text[];
    v_keys text[];
    v_memories bigint[];
    v_messages bigint[];
    v_documents uuid[];
    v_conversations uuid[];
    v_count bigint;
    v_more bigint;
    v_summary record;
    v_source record;
    v_found integer;
    v_locked boolean := false;
begin
    v_sources := erase.sources;
    v_keys := erase.keys;
    -- Whoever is just deriving something from them comes first, and nobody after that; what was derived goes as well.
    loop
        v_found := cardinality(v_sources);
        select coalesce(array_agg(d.source), '{}'), coalesce(array_agg(d.key), '{}') into v_sources, v_keys
        from loci_private.derived_from(v_sources, v_keys) as d;
        exit when v_locked and cardinality(v_sources) = v_found;
        perform loci_private.lock_sources(v_sources, v_keys);
        v_locked := true;
    end loop;
    select array_agg(k.key::bigint) filter (where k.source = 'memories' and k.key ~ '^[1-9][0-9]{0,17}$'),
        array_agg(k.key::bigint) filter (where k.source = 'messages' and k.key ~ '^[1-9][0-9]{0,17}$'),
        array_agg(k.key::uuid) filter (where k.source = 'documents' and k.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
        array_agg(k.key::uuid) filter (where k.source = 'conversations' and k.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
    into v_memories, v_messages, v_documents, v_conversations
    from unnest(v_sources, v_keys) as k (source, key);

    -- First: deleting a row takes along what was made of it.
    perform loci_private.erase_words(v_sources, v_keys);
    delete from loci_private.memories as m where m.memory_id = any(v_memories);
    get diagnostics v_count = row_count;
    delete from loci_private.evicted_memories as e where e.memory_id = any(v_memories);
    get diagnostics v_more = row_count;
    return query select 'loci_private.memories', v_count + v_more, 'deleted, with what was derived from them';
    -- What somebody stated as well stays, and no longer says where else it came from.
    delete from loci_private.memory_lineage as l
    using unnest(v_sources, v_keys) as k (source, key)
    where l.source = k.source and l.key = k.key;
    update loci_private.evicted_memories as e
    set lineage = coalesce((
        select jsonb_agg(l.l)
        from jsonb_array_elements(e.lineage) as l (l)
        where (l.l ->> 'source', l.l ->> 'key') not in (select k.source, k.key from unnest(v_sources, v_keys) as k (source, key))
    ), '[]')
    from unnest(v_sources, v_keys) as k (source, key)
    where e.lineage @> jsonb_build_array(jsonb_build_object('source', k.source, 'key', k.key));

    delete from loci_private.citations as c
    using unnest(v_sources, v_keys) as k (source, key)
    where c.source = k.source and c.key = k.key;
    get diagnostics v_count = row_count;
    return query select 'loci_private.citations', v_count, 'deleted';
    update loci_private.turns as t
    set passages = coalesce((
        select jsonb_agg(p.p order by p.n)
        from jsonb_array_elements(t.passages) with ordinality as p (p, n)
        where (p.p ->> 'source', p.p ->> 'key') not in (select k.source, k.key from unnest(v_sources, v_keys) as k (source, key))
    ), '[]'),
    -- An answer that is still to come has seen it too.
    status = case when t.status in ('open', 'abandoned') then 'cancelled' else t.status end,
    finished_at = coalesce(t.finished_at, loci_private.now())
    from unnest(v_sources, v_keys) as k (source, key)
    where t.passages @> jsonb_build_array(jsonb_build_object('source', k.source, 'key', k.key));
    get diagnostics v_count = row_count;
    return query select 'loci_private.turns', v_count, 'rewritten without the passages; open ones cancelled';

    -- The trigger of messages sees to their part of summaries, except where messages had been removed after summarising.
    delete from loci.messages as m where m.message_id = any(v_messages);
    get diagnostics v_count = row_count;
    return query select 'loci.messages', v_count, 'deleted; answers that were given with such a row in view included';
    v_count := 0;
    for v_summary in
        select s.conversation_id, jsonb_agg(p.part order by p.n) filter (where not p.part -> 'messages' @> any(m.ids)) as kept
        from loci_private.summaries as s
        cross join lateral jsonb_array_elements(s.parts) with ordinality as p (part, n)
        cross join (select array_agg(to_jsonb(i.i)) as ids from unnest(v_messages) as i (i)) as m
        where s.conversation_id in (
            select o.conversation_id
            from unnest(v_messages) as i (i)
            join loci_private.summaries as o on o.parts @> jsonb_build_array(jsonb_build_object('messages', jsonb_build_array(i.i)))
        )
        group by s.conversation_id
    loop
        update loci_private.summaries as s
        set parts = coalesce(v_summary.kept, '[]')
        where s.conversation_id = v_summary.conversation_id;
        perform loci_private.join_summary(v_summary.conversation_id);
        v_count := v_count + 1;
    end loop;
    return query select 'loci_private.summaries', v_count, 'rewritten or deleted';
    delete from loci.conversations as c where c.conversation_id = any(v_conversations);
    get diagnostics v_count = row_count;
    return query select 'loci.conversations', v_count, 'deleted, with their turns, citations and summaries';
    delete from loci.documents as d where d.document_id = any(v_documents);
    get diagnostics v_count = row_count;
    return query select 'loci.documents', v_count, 'deleted';

    for v_source in
        select s.source_id, s.name, s.relation, array_agg(k.key) as keys,
            s.relation not in ('loci.documents'::regclass, 'loci.messages'::regclass, 'loci_private.memories'::regclass) as foreign_table
        from unnest(v_sources, v_keys) as k (source, key)
        join loci_private.sources as s on s.name = k.source
        group by s.source_id
        order by s.source_id
    loop
        v_count := loci_private.erase_indexed(v_source.source_id, v_source.keys, v_source.foreign_table);
        return query select 'loci_private.source_rows', v_count, format('removed with chunks, vectors and queued work: source %s', v_source.name);
        if v_source.foreign_table then
            return query select v_source.relation::text, cardinality(v_source.keys)::bigint,
                'not Loci''s to delete: its rows are not indexed again until they change; delete or change them in the application';
        end if;
    end loop;
    delete from loci_private.cache;
    get diagnostics v_count = row_count;
    return query select 'loci_private.cache', v_count, 'emptied';
end $$;
comment on function loci_private.erase(text [], text []) is
'Erase rows and everything derived from them; what was erased.';
revoke execute on function loci_private.erase(text [], text []) from public;
