create or replace function loci_private.search_text(
    query text,
    k integer,
    mode text,
    min_similarity double precision,
    scopes uuid [],
    sources text [],
    metadata jsonb,
    since timestamptz,
    until timestamptz
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
    v_models integer[] := '{}';
    v_vectors text[] := '{}';
    v_words tsquery;
    v_unknown text;
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
        where s.name = any(search_text.sources) and not s.internal;
        v_sources := coalesce(v_sources, '{}');
        select string_agg(format('"%s"', n), ', ') into v_unknown
        from unnest(search_text.sources) as n
        where not exists (select from loci_private.sources as s where s.name = n and not s.internal);
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

    if search_text.mode <> 'keyword' then
        select q.models, q.vectors into v_models, v_vectors
        from loci_private.question_vectors(search_text.query, v_scopes, search_text.mode = 'vector') as q;
    end if;
    if search_text.mode <> 'vector' then
        v_words := loci_private.keyword_query(search_text.query, loci_private.text_configs_of(v_scopes));
    end if;
    return query select f.* from loci_private.fuse(
        v_models, v_vectors, v_words,
        row(
            v_scopes, loci.current_principals(), v_sources, search_text.metadata, search_text.since, search_text.until
        )::loci_private.search_filter,
        search_text.k, search_text.min_similarity
    ) as f;
end $$;
comment on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) is 'loci.search() itself: checks the arguments, embeds the question once a model, and fuses both arms.';
revoke execute on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) from public;
