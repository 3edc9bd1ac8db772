create or replace function loci_private.reranked(question text, chunks bigint [], scopes uuid [])
returns table (chunk_id bigint, relevance double precision)
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_config jsonb;
    v_chunks bigint[];
    v_texts text[];
    v_relevance double precision[];
    v_message text;
begin
    if cardinality(reranked.chunks) = 0 then
        return;
    end if;
    begin
        v_config := loci_private.helper_config('rerank');
        -- What was split before its organization wanted something else redacted is not sent.
        select array_agg(c.chunk_id order by u.n),
            array_agg(coalesce(c.redacted, concat_ws(E'\n\n', c.context, c.content)) order by u.n)
        into v_chunks, v_texts
        from unnest(reranked.chunks) with ordinality as u (chunk_id, n)
        join loci_private.chunks as c on c.chunk_id = u.chunk_id
        join loci_private.source_rows as r on r.row_id = c.row_id
        where r.redaction = (loci_private.redaction_of(r.organization_id)).marker;
        if v_chunks is null then
            return;
        end if;
        v_relevance := loci_private.rerank(
            (loci_private.redacted(array[reranked.question], reranked.scopes))[1], v_texts, v_config
        );
    exception when others then
        get stacked diagnostics v_message = message_text;
        raise notice 'searching without reranking: %', v_message;
        return;
    end;
    return query select n.chunk_id, n.relevance from unnest(v_chunks, v_relevance) as n (chunk_id, relevance);
end $$;
comment on function loci_private.reranked(text, bigint [], uuid []) is
'How relevant chunks are to a question, as the reranking model says: none with a notice where it fails, none for a chunk that must be redacted first.';
revoke execute on function loci_private.reranked(text, bigint [], uuid []) from public;
