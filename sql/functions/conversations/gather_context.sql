create or replace function loci_private.gather_context(
    conversation_id uuid, organization_id uuid, query text, max_tokens integer, options jsonb default '{}'
)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_began constant timestamptz := loci_private.now();
    v_scopes uuid[];
    v_sources text[];
    v_k integer := loci.setting('context_passages')::integer;
    v_passages jsonb;
    v_memories jsonb;
    v_recent jsonb;
    v_context jsonb;
    -- A proposal belongs to a conversation.
    v_tools jsonb := case
        when gather_context.conversation_id is null then '[]' else loci_private.action_tools(gather_context.organization_id)
    end;
begin
    if gather_context.options ? 'scopes' then
        v_scopes := array(select s.s::uuid from jsonb_array_elements_text(gather_context.options -> 'scopes') as s (s));
    end if;
    -- What was said is no ground for what is said. An application that wants it names it.
    v_sources := case
        when gather_context.options ? 'sources' then
            array(select s.s from jsonb_array_elements_text(gather_context.options -> 'sources') as s (s))
        else array(select s.name from loci_private.sources as s where not s.internal and s.name <> 'messages' order by s.name)
    end;
    if v_k > 0 and cardinality(v_sources) > 0 then
        select jsonb_agg(
            jsonb_build_object(
                'source', s.source, 'key', s.key, 'chunk_id', s.chunk_id, 'title', s.title, 'content', s.content,
                'similarity', s.similarity
            ) order by s.place
        )
        into v_passages
        from loci.search(gather_context.query, k => v_k, scopes => v_scopes, sources => v_sources) with ordinality as s (
            source, key, chunk_id, ordinal, content, title, scope_id, metadata, score, similarity, vector_rank, keyword_rank, place
        )
        -- Without similarities, while a model is out of reach, there is nothing to judge by.
        having coalesce(max(s.similarity), 1) >= (loci_private.answer_scale(loci.visible_scopes())).floor;
    end if;
    if loci.setting('context_memories')::integer > 0 then
        select jsonb_agg(r.content order by r.place) into v_memories
        from loci.recall(gather_context.query, k => loci.setting('context_memories')::integer) with ordinality as r (
            memory_id, type, content, level, scope_id, subject, metadata, importance, similarity, score, created_at, renewed_at, place
        );
    end if;
    select jsonb_agg(jsonb_build_object('role', l.role, 'content', l.content) order by l.message_id) into v_recent
    from (
        select m.message_id, m.role, m.content
        from loci.messages as m
        where m.conversation_id = gather_context.conversation_id and m.summarized_at is null and m.status <> 'failed'
            and m.content ~ '\S'
        order by m.message_id desc
        limit loci.setting('context_messages')::integer
    ) as l;
    v_context := loci_private.assemble_context(
        jsonb_build_object(
            'system', loci_private.system_prompt(
                gather_context.organization_id, v_passages is not null, jsonb_array_length(v_tools) > 0
            ),
            'question', gather_context.query,
            'summary', (
                select s.summary from loci_private.summaries as s where s.conversation_id = gather_context.conversation_id
            ),
            'actions', coalesce((
                select jsonb_agg(a.line) from loci_private.action_results(gather_context.conversation_id) as a (line)
            ), '[]'),
            'memories', coalesce(v_memories, '[]'), 'passages', coalesce(v_passages, '[]'), 'recent', coalesce(v_recent, '[]')
        ),
        gather_context.max_tokens, loci.setting('chat_tokenizer')
    );
    if v_context ? 'error' then
        perform loci_private.raise_error(v_context -> 'error');
    end if;
    perform loci_private.note_stage('context', v_began);
    return v_context || jsonb_build_object('tools', v_tools, 'passages', coalesce((
        select jsonb_agg(p.p - '{content,title}'::text[] || jsonb_build_object('number', p.n) order by p.n)
        from jsonb_array_elements(v_passages) with ordinality as p (p, n)
        where p.n <= (v_context ->> 'passages')::integer
    ), '[]'));
end $$;
comment on function loci_private.gather_context(uuid, uuid, text, integer, jsonb) is
'What a model needs to answer a question of the current user, within a budget: passages and memories that the user may see, the conversation so far. LC704.';
revoke execute on function loci_private.gather_context(uuid, uuid, text, integer, jsonb) from public;
