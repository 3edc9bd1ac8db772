create or replace function loci.explain_search(
    query text,
    k integer default 5,
    mode text default 'hybrid',
    min_similarity double precision default null,
    scopes uuid [] default null,
    sources text [] default null,
    metadata jsonb default null,
    since timestamptz default null,
    until timestamptz default null
)
returns table (step text, detail text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
declare
    -- How many rows there are besides one's own is nobody's business but an administrator's; so is all that follows from it.
    v_admin constant boolean := pg_has_role(session_user, 'loci_admin', 'member');
    v_filter loci_private.search_filter;
    v_model loci.embedding_models;
    v_models integer[] := '{}';
    v_vectors text[] := '{}';
    v_asked record;
    v_words loci_private.search_words;
    v_route record;
    v_want integer;
    v_count bigint;
    v_begun timestamptz;
    v_message text;
    v_state text;
begin
    -- Arguments are refused as the search itself refuses them.
    perform from loci_private.search_text(
        explain_search.query, explain_search.k, explain_search.mode, null, '{}', explain_search.sources, null, null, null, false, false, false
    );
    v_want := greatest(4 * explain_search.k, 50);
    v_filter := loci_private.search_filter(
        explain_search.scopes, explain_search.sources, explain_search.metadata, explain_search.since, explain_search.until
    );
    step := 'asking';
    detail := case
        when loci.current_user_id() is null then 'nobody is named: nothing is found (loci.act_as)'
        when cardinality(v_filter.scopes) = 0 then 'sees none of these scopes: nothing is found'
        else format('sees %s scopes', cardinality(v_filter.scopes))
    end;
    return next;
    if cardinality(v_filter.scopes) = 0 then
        return;
    end if;
    step := 'filters';
    detail := coalesce(nullif(concat_ws(', ',
        case when explain_search.scopes is not null then 'scopes' end,
        case when explain_search.sources is not null then 'sources' end,
        case when explain_search.metadata is not null then 'metadata' end,
        case when explain_search.since is not null then 'since' end,
        case when explain_search.until is not null then 'until' end,
        'min_similarity ' || explain_search.min_similarity
    ), ''), 'none but visibility');
    return next;

    v_asked := loci_private.keyword_query(explain_search.query, loci_private.text_configs_of(v_filter.scopes));
    if explain_search.mode <> 'vector' then
        v_filter.required := v_asked.required;
        v_filter.excluded := v_asked.excluded;
    end if;
    if explain_search.mode <> 'keyword' then
        for v_model in
            select m.* from loci.embedding_models as m
            where m.model_id = any(loci_private.models_of(v_filter.scopes))
            order by m.model_id
        loop
            step := 'model ' || v_model.name;
            begin
                v_begun := clock_timestamp();
                v_vectors := v_vectors || loci_private.embed_texts(
                    loci_private.redacted(
                        array[case explain_search.mode when 'vector' then explain_search.query else v_asked.meaning end], v_filter.scopes
                    ),
                    loci_private.query_config(v_model.model_id), 'query'
                );
                v_models := v_models || v_model.model_id;
                detail := format('question embedded in %s ms',
                    round((extract(epoch from clock_timestamp() - v_begun) * 1000)::numeric, 1));
                return next;
            exception when others then
                get stacked diagnostics v_message = message_text, v_state = returned_sqlstate;
                v_models := '{}';
                v_vectors := '{}';
                detail := format('%s: %s (%s)',
                    case explain_search.mode when 'vector' then 'the search fails' else 'words only' end, v_message, v_state);
                return next;
                exit;
            end;
        end loop;
        if v_models = '{}' and v_state is null then
            step := 'model';
            detail := 'none serves these scopes yet';
            return next;
        end if;
    end if;

    for v_model in
        select m.* from unnest(v_models) with ordinality as u (model_id, n)
        join loci.embedding_models as m on m.model_id = u.model_id
        order by u.n
    loop
        select r.* into v_route from loci_private.vector_route(v_model.model_id, v_filter, v_want / 4, v_want) as r;
        step := 'path';
        detail := case v_route.path
            when 'exact' then 'exact: compares every vector that may be found'
            else case v_model.quantization
                when 'binary' then 'index: walks the HNSW graph of bits, re-ranks by distance'
                else 'index: walks the HNSW graph'
            end
        end;
        return next;
        step := '  why';
        detail := v_route.reason;
        return next;
        if v_admin and v_route.visible is not null then
            step := '  rows';
            detail := format('%s%s of about %s vectors (%s %%)',
                case when not v_route.counted then 'about ' when v_route.visible > v_route.exact_limit then 'at least ' end,
                v_route.visible, v_route.total, round(100.0 * v_route.visible / greatest(v_route.total, 1), 2));
            return next;
            step := '  limit';
            detail := format('exact up to %s vectors', v_route.exact_limit);
            return next;
        end if;
        if v_admin and v_route.path = 'index' then
            step := '  settings';
            detail := format('ef_search %s, max_scan_tuples %s, candidates %s',
                v_route.ef_search, v_route.max_scan_tuples, v_route.candidates);
            return next;
        end if;
        v_begun := clock_timestamp();
        select count(*) into v_count
        from loci_private.vector_candidates(
            v_model.model_id, v_vectors[array_position(v_models, v_model.model_id)]::public.halfvec, v_filter,
            explain_search.min_similarity, v_want / 4, v_want
        );
        step := '  candidates';
        detail := format('%s of at most %s, in %s ms', v_count, v_want,
            round((extract(epoch from clock_timestamp() - v_begun) * 1000)::numeric, 1));
        return next;
    end loop;

    if explain_search.mode <> 'vector' then
        v_words := loci_private.weigh_words(v_asked.words, v_filter.scopes, loci.setting('keyword_candidates')::integer);
        step := 'words';
        detail := concat_ws(', ',
            coalesce(cardinality(v_asked.words) || ' of the question count', 'none of the question counts'),
            case when v_asked.required is not null then 'phrases are required' end,
            case when v_asked.excluded is not null then 'words are excluded' end
        );
        return next;
        v_begun := clock_timestamp();
        select count(*) into v_count
        from loci_private.keyword_candidates(
            v_words, v_filter, v_models, v_vectors, explain_search.min_similarity, v_want
        );
        step := '  candidates';
        detail := format('%s of at most %s, in %s ms', v_count, v_want,
            round((extract(epoch from clock_timestamp() - v_begun) * 1000)::numeric, 1));
        return next;
    end if;
end $$;
comment on function loci.explain_search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) is
'How loci.search() with these arguments finds its rows, step by step: models, path and why, candidates of each arm. Totals, shares and what follows from them are shown to members of loci_admin only. Errors as of loci.search().';
revoke execute on function loci.explain_search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) from public;
grant execute on function loci.explain_search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) to loci_app, loci_admin;
