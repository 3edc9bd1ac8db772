create or replace function loci_private.apply_consolidation(conversation_id uuid, basis jsonb, answer jsonb)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := loci_private.now();
    v_ids bigint[] := array(select e.e::bigint from jsonb_array_elements_text(apply_consolidation.basis -> 'messages') as e (e));
    v_remove boolean := loci.setting('consolidation_removes') in ('true', 'on');
    v_longest integer := loci.setting('memory_max_bytes')::integer / 4;
    v_summary text := left(apply_consolidation.answer ->> 'summary', 1500);
    v_user uuid;
    v_fact record;
    v_lineage jsonb;
    v_count bigint;
begin
    -- Whoever is deleting the conversation or one of the messages just now is not waited for (55P03), and not held up.
    select c.user_id into v_user
    from loci.conversations as c
    where c.conversation_id = apply_consolidation.conversation_id
    for key share nowait;
    perform from loci.messages as m
    where m.message_id = any(v_ids) and m.conversation_id = apply_consolidation.conversation_id
    order by m.message_id
    for no key update nowait;
    if v_user is null or loci_private.hash_of_messages(v_ids) is distinct from apply_consolidation.basis ->> 'hash' then
        return null;
    end if;
    -- What the model has not seen to its end is kept.
    v_remove := v_remove and not exists (
        select from loci.messages as m
        where m.message_id = any(v_ids) and length(m.content) > loci.setting('consolidation_characters')::integer
    );
    v_lineage := jsonb_build_array(jsonb_build_object('source', 'conversations', 'key', apply_consolidation.conversation_id))
        || (select jsonb_agg(jsonb_build_object('source', 'messages', 'key', i.i::text)) from unnest(v_ids) as i (i));
    if loci_private.memory_capacity(v_user) > 0 then
        -- Whose they are and of which kind is not the model's to say.
        for v_fact in
            select 'semantic' as type, left(btrim(f.f), least(300, v_longest)) as content
            from jsonb_array_elements_text(apply_consolidation.answer -> 'facts') with ordinality as f (f, n)
            where f.f ~ '\S' and f.n <= 8
            union all
            select 'episodic', left(btrim(v_summary), v_longest)
            where v_summary ~ '\S'
        loop
            perform loci_private.store_memory(
                v_fact.content, v_fact.type, v_user, null, jsonb_build_object('conversation_id', apply_consolidation.conversation_id),
                null, v_lineage, 0.5, null, false, null
            );
        end loop;
    end if;
    insert into loci_private.summaries (conversation_id, summary, up_to, written_at)
    values (apply_consolidation.conversation_id, '', 0, v_now)
    on conflict (conversation_id) do nothing;
    update loci_private.summaries as s
    set parts = s.parts || jsonb_build_object('messages', apply_consolidation.basis -> 'messages', 'text', v_summary, 'removed', v_remove),
        up_to = greatest(s.up_to, v_ids[cardinality(v_ids)]), written_at = v_now
    where s.conversation_id = apply_consolidation.conversation_id;
    perform loci_private.join_summary(apply_consolidation.conversation_id);
    update loci.messages as m set summarized_at = v_now where m.message_id = any(v_ids);
    get diagnostics v_count = row_count;
    if v_remove then
        update loci_private.memory_lineage as l
        set consumed = true
        from unnest(v_ids) as i (i)
        where l.source = 'messages' and l.key = i.i::text;
        delete from loci.messages as m where m.message_id = any(v_ids);
    end if;
    return v_count;
end $$;
comment on function loci_private.apply_consolidation(uuid, jsonb, jsonb) is
'Write what a model made of messages: facts and an episode as memories of the user, the summary, the messages'' mark (or their end); all of it or nothing. How many messages; null when what it rests on has changed since.';
revoke execute on function loci_private.apply_consolidation(uuid, jsonb, jsonb) from public;
