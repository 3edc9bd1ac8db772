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
as $$
#variable_conflict error
declare
    v_scopes uuid[] := loci.visible_scopes();
    v_sources integer[];
    v_models integer[];
    v_vectors text[] := '{}';
    v_asked record;
    v_words loci_private.search_words;
    v_question text[];
    v_model integer;
    v_unknown text;
    v_message text;
    v_configs regconfig[];
    v_more text;
    v_k integer := search_text.k;
begin
    if search_text.query is null or btrim(search_text.query) = '' then
        raise exception 'the query is empty' using errcode = 'LC300', hint = 'Pass the question as text.';
    end if;
    if search_text.k is null or search_text.k not between 1 and 1000 then
        raise exception 'k is %, out of range', coalesce(search_text.k::text, 'null')
            using errcode = 'LC302', hint = 'Ask for 1 to 1000 rows.';
    end if;
    if search_text.mode is null or search_text.mode not in ('hybrid', 'vector', 'keyword') then
        raise exception 'there is no search mode "%"', coalesce(search_text.mode, 'null')
            using errcode = 'LC303', hint = 'Use hybrid, vector or keyword.';
    end if;
    if search_text.sources is not null then
        select array_agg(s.source_id) into v_sources
        from loci_private.sources as s
        where s.name = any(search_text.sources);
        v_sources := coalesce(v_sources, '{}');
        select string_agg(format('"%s"', n), ', ') into v_unknown
        from unnest(search_text.sources) as n
        where not exists (select from loci_private.sources as s where s.name = n);
        if v_unknown is not null then
            raise exception 'there is no source %', v_unknown
                using errcode = 'LC249', hint = 'Sources are named when a table is watched; "documents" is built in.';
        end if;
    end if;
    -- Scopes asked for narrow what is visible and never widen it.
    if search_text.scopes is not null then
        v_scopes := array(select v from unnest(v_scopes) as v where v = any(search_text.scopes));
    end if;
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
    v_models := loci_private.models_of(v_scopes);
    if search_text.mode <> 'keyword' then
        begin
            v_question := loci_private.redacted(
                array[case when search_text.mode = 'vector' and v_more is null then search_text.query else v_asked.meaning end], v_scopes
            );
            foreach v_model in array v_models loop
                v_vectors := v_vectors
                    || loci_private.embed_texts(v_question, loci_private.query_config(v_model), 'query');
            end loop;
        exception when others then
            -- Words still find things while a model is out of reach.
            if search_text.mode = 'vector' then
                raise;
            end if;
            get stacked diagnostics v_message = message_text;
            raise notice 'searching by words only: %', v_message;
            v_models := '{}';
        end;
    else
        v_models := '{}';
    end if;
    if search_text.mode <> 'vector' then
        v_words := loci_private.weigh_words(v_asked.words, v_scopes, loci.setting('keyword_candidates')::integer);
    end if;
    if search_text.rerank then
        v_k := least(greatest(4 * v_k, 20), greatest(v_k, 100));
    end if;
    return query
    with found as materialized (
        select f.* from loci_private.fuse(
            v_models, v_vectors, v_words,
            row(
                v_scopes, loci.current_principals(), v_sources, search_text.metadata, search_text.since, search_text.until,
                case when search_text.mode <> 'vector' then v_asked.required end,
                case when search_text.mode <> 'vector' then v_asked.excluded end
            )::loci_private.search_filter,
            v_k, search_text.min_similarity, search_text.merge
        ) as f
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
end $$;
comment on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) is 'loci.search() itself: checks the arguments, embeds the question once a model, and fuses both arms.';
revoke execute on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) from public;
