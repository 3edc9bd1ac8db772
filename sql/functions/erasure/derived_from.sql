create or replace function loci_private.derived_from(sources text [], keys text [])
returns table (source text, key text)
language plpgsql stable parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_sources text[] := derived_from.sources;
    v_keys text[] := derived_from.keys;
    v_new_sources text[] := derived_from.sources;
    v_new_keys text[] := derived_from.keys;
begin
    loop
        select array_agg(n.source), array_agg(n.key) into v_new_sources, v_new_keys
        from (
            (
                select 'memories' as source, l.memory_id::text as key
                from unnest(v_new_sources, v_new_keys) as k (source, key)
                join loci_private.memory_lineage as l on l.source = k.source and l.key = k.key
                join loci_private.memories as m on m.memory_id = l.memory_id and not m.stated
                union
                select 'memories', e.memory_id::text
                from unnest(v_new_sources, v_new_keys) as k (source, key)
                join loci_private.evicted_memories as e
                    on e.lineage @> jsonb_build_array(jsonb_build_object('source', k.source, 'key', k.key)) and not e.stated
                union
                select 'messages', t.answer_id::text
                from unnest(v_new_sources, v_new_keys) as k (source, key)
                join loci_private.turns as t on t.passages @> jsonb_build_array(jsonb_build_object('source', k.source, 'key', k.key))
                where t.answer_id is not null
                union
                select 'messages', c.message_id::text
                from unnest(v_new_sources, v_new_keys) as k (source, key)
                join loci_private.citations as c on c.source = k.source and c.key = k.key
                union
                select 'messages', m.message_id::text
                from unnest(v_new_sources, v_new_keys) as k (source, key)
                join loci.messages as m
                    on m.conversation_id = case
                        when k.source = 'conversations' and k.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then k.key::uuid
                    end
            )
            except
            select k.source, k.key from unnest(v_sources, v_keys) as k (source, key)
        ) as n;
        exit when v_new_sources is null;
        v_sources := v_sources || v_new_sources;
        v_keys := v_keys || v_new_keys;
    end loop;
    return query select distinct k.source, k.key from unnest(v_sources, v_keys) as k (source, key);
end $$;
comment on function loci_private.derived_from(text [], text []) is
'These rows and everything that Loci made of them, and of that again: memories, messages of conversations, answers that were given with such a row in view.';
revoke execute on function loci_private.derived_from(text [], text []) from public;
