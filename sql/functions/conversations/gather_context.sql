create or replace function loci_private.gather_context(
    conversation_id uuid, organization_id uuid, query text, max_tokens integer, before bigint default null
)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_passages jsonb;
    v_memories jsonb;
    v_recent jsonb;
    v_summary text;
    v_relevance float8;
    v_context jsonb;
begin
    select jsonb_agg(
            jsonb_build_object('source', s.source, 'key', s.key, 'chunk_id', s.chunk_id, 'title', s.title, 'content', s.content)
            order by s.n
        ),
        max(s.similarity)
    into v_passages, v_relevance
    from loci.search(query, k => loci.setting('context_passages')::integer) with ordinality as s (
        source, key, chunk_id, ordinal, content, title, scope_id, metadata, score, similarity, vector_rank, keyword_rank, n
    )
    -- What was said here is in the context anyway.
    where s.source <> 'messages' or not exists (
        select from loci.messages as m
        where m.message_id::text = s.key and m.conversation_id = gather_context.conversation_id
    );
    if v_relevance < loci.setting('answer_floor')::float8 then
        v_passages := null;
    end if;
    select jsonb_agg(r.content order by r.n) into v_memories
    from loci.recall(query, k => loci.setting('context_memories')::integer) with ordinality as r (
        memory_id, type, content, level, scope_id, subject, metadata, importance, similarity, score, created_at, renewed_at, n
    );
    select jsonb_agg(jsonb_build_object('role', m.role, 'content', m.content) order by m.message_id) into v_recent
    from (
        select m.*
        from loci.messages as m
        where m.conversation_id = gather_context.conversation_id and m.summarized_at is null and m.status <> 'failed'
            and m.content ~ '\S' and (before is null or m.message_id < before)
        order by m.message_id desc
        limit loci.setting('context_messages')::integer
    ) as m;
    select s.summary into v_summary
    from loci_private.summaries as s
    where s.conversation_id = gather_context.conversation_id;
    v_context := loci_private.assemble_context(
        jsonb_build_object(
            'system', loci_private.system_prompt(organization_id, v_passages is not null), 'question', query, 'summary', v_summary,
            'memories', coalesce(v_memories, '[]'), 'passages', coalesce(v_passages, '[]'), 'recent', coalesce(v_recent, '[]')
        ),
        max_tokens, loci.setting('chat_tokenizer')
    );
    return v_context || jsonb_build_object(
        'relevance', v_relevance,
        'passages', coalesce((
            select jsonb_agg(p.p - 'content' || jsonb_build_object('number', p.n) order by p.n)
            from jsonb_array_elements(v_passages) with ordinality as p (p, n)
            where p.n <= (v_context ->> 'passages')::integer
        ), '[]')
    );
end $$;
comment on function loci_private.gather_context(uuid, uuid, text, integer, bigint) is
'What a model needs to answer a question of the current user: passages, memories, the conversation so far (messages before one), within a budget.';
revoke execute on function loci_private.gather_context(uuid, uuid, text, integer, bigint) from public;
