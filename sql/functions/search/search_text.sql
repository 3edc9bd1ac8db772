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
    v_filter loci_private.search_filter;
    v_scopes uuid[];
    v_models integer[];
    v_vectors text[];
    v_words tsquery;
    v_question text[];
    v_model integer;
    v_message text;
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

    if search_text.mode <> 'vector' then
        v_words := loci_private.keyword_query(search_text.query, loci_private.text_configs_of(v_scopes));
    end if;
    -- Embedding takes time, and meanwhile another model may come into use. So everything is looked up in one snapshot, and
    -- only if the question was embedded with the models in use there.
    loop
        v_models := case when search_text.mode <> 'keyword' then loci_private.models_of(v_scopes) end;
        v_vectors := '{}';
        begin
            if v_models is not null and v_question is null then
                v_question := loci_private.redacted(array[search_text.query], v_scopes);
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
        return query select f.* from loci_private.fuse(
            coalesce(v_models, '{}'), v_vectors, v_words,
            row(
                v_filter.scopes, v_filter.principals, v_filter.sources, v_filter.metadata, v_filter.since, v_filter.until,
                loci_private.hidden_sets(v_scopes)
            )::loci_private.search_filter,
            search_text.k, search_text.min_similarity
        ) as f
        where v_models is null or loci_private.models_of(v_scopes) = v_models;
        exit when found or v_models is null or loci_private.models_of(v_scopes) = v_models;
    end loop;
end $$;
comment on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) is 'loci.search() itself: checks the arguments, embeds the question once a model, and fuses both arms.';
revoke execute on function loci_private.search_text(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) from public;
