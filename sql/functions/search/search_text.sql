create or replace function loci_private.search_text(
    query text,
    k integer,
    mode text,
    min_similarity double precision,
    scopes uuid [],
    sources text [],
    metadata jsonb,
    since timestamptz,
    until timestamptz,
    merge boolean,
    rerank boolean,
    expand boolean
)
returns table (
    source text,
    key text,
    chunk_id bigint,
    ordinal integer,
    content text,
    title text,
    scope_id uuid,
    row_metadata jsonb,
    score real,
    similarity real,
    vector_rank integer,
    keyword_rank integer
)
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
-- Planned once a session. What depends on who asks is put together and planned anew where it is asked.
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict error
declare
    v_filter loci_private.search_filter;
    v_scopes uuid[];
    v_models integer[];
    v_vectors text[];
    v_asked record;
    v_words loci_private.search_words;
    v_question text[];
    v_model integer;
    v_message text;
    v_configs regconfig[];
    v_more text;
    v_k integer := search_text.k;
begin
    if search_text.query is null or btrim(search_text.query) = '' then
        raise exception 'the query is empty' using errcode = 'LC300', hint = 'Pass the question as text.';
    end if;
    perform loci_private.check_k(search_text.k);
    if search_text.mode is null or search_text.mode not in ('hybrid', 'vector', 'keyword') then
        raise exception 'there is no search mode "%"', coalesce(search_text.mode, 'null')
            using errcode = 'LC303', hint = 'Use hybrid, vector or keyword.';
    end if;
    v_filter := loci_private.search_filter(
        search_text.scopes, search_text.sources, search_text.metadata, search_text.since, search_text.until
    );
    v_scopes := v_filter.scopes;
    if cardinality(v_scopes) = 0 then
        return;
    end if;

    v_configs := loci_private.text_configs_of(v_scopes);
    v_asked := loci_private.keyword_query(search_text.query, v_configs);
    if search_text.expand then
        begin
            v_more := loci_private.expand(
                (loci_private.redacted(array[v_asked.meaning], v_scopes))[1], loci_private.helper_config('expansion')
            );
            -- What the model says demands and excludes nothing.
            v_asked.words := v_asked.words || (loci_private.keyword_query(translate(v_more, '"-“”„', '     '), v_configs)).words;
            v_asked.words := array(select distinct w from unnest(v_asked.words) as w);
            v_asked.meaning := v_asked.meaning || E'\n' || v_more;
        exception when others then
            get stacked diagnostics v_message = message_text;
            raise notice 'searching without expansion: %', v_message;
        end;
    end if;
    if search_text.mode <> 'vector' then
        v_words := loci_private.weigh_words(v_asked.words, v_scopes, loci.setting('keyword_candidates')::integer);
        v_filter.required := v_asked.required;
        v_filter.excluded := v_asked.excluded;
    end if;
    if search_text.rerank then
        v_k := least(greatest(4 * v_k, 20), greatest(v_k, 100));
    end if;
    -- Embedding takes time, and meanwhile another model may come into use. So everything is looked up in one snapshot, and
    -- only if the question was embedded with the models in use there.
    loop
        v_models := case when search_text.mode <> 'keyword' then loci_private.models_of(v_scopes) end;
        v_vectors := '{}';
        begin
            if v_models is not null and v_question is null then
                v_question := loci_private.redacted(
                    array[case when search_text.mode = 'vector' and v_more is null then search_text.query else v_asked.meaning end],
                    v_scopes
                );
            end if;
            foreach v_model in array coalesce(v_models, '{}') loop
                v_vectors := v_vectors || loci_private.embed_questions(v_question, v_model);
            end loop;
        exception when others then
            -- Words still find things while a model is out of reach.
            if search_text.mode = 'vector' then
                raise;
            end if;
            get stacked diagnostics v_message = message_text;
            raise notice 'searching by words only: %', v_message;
            v_models := null;
            v_vectors := '{}';
            perform loci_private.note_degraded();
        end;
        return query
        with found as materialized (
            select f.* from loci_private.fuse(
                coalesce(v_models, '{}'), v_vectors, v_words,
                row(
                    v_filter.scopes, v_filter.principals, v_filter.sources, v_filter.metadata, v_filter.since, v_filter.until,
                    loci_private.hidden_sets(v_scopes), v_filter.internal, v_filter.required, v_filter.excluded, null
                )::loci_private.search_filter,
                v_k, search_text.min_similarity, search_text.merge
            ) as f
            where v_models is null or loci_private.models_of(v_scopes) = v_models
        ), judged as materialized (
            select r.chunk_id, r.relevance
            from loci_private.reranked(
                search_text.query, array(select f.chunk_id from found as f where search_text.rerank), v_scopes
            ) as r
        )
        select f.source, f.key, f.chunk_id, f.ordinal, f.content, f.title, f.scope_id, f.row_metadata,
            coalesce(j.relevance::real, f.score), f.similarity, f.vector_rank, f.keyword_rank
        from found as f
        left join judged as j on j.chunk_id = f.chunk_id
        order by j.relevance desc nulls last, f.score desc, f.chunk_id
        limit search_text.k;
        exit when found or v_models is null or loci_private.models_of(v_scopes) = v_models;
    end loop;
end $$;
comment on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) is 'loci.search() itself: checks the arguments, embeds the question once a model, and fuses both arms.';
revoke execute on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) from public;
