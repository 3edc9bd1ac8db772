create or replace function loci_private.vector_candidates(
    model_id integer,
    vector text,
    filter loci_private.search_filter,
    min_similarity double precision,
    want integer
)
returns table (chunk_id bigint, distance double precision)
language plpgsql stable parallel unsafe
set search_path = pg_catalog, pg_temp
set hnsw.iterative_scan = 'relaxed_order'
set hnsw.ef_search = 100
set hnsw.max_scan_tuples = 100000
as $$
#variable_conflict use_column
declare
    v_limit integer := loci.setting('exact_scan_limit')::integer;
    v_filter text := loci_private.filter_sql(vector_candidates.filter);
    v_table text := loci_private.model_table(vector_candidates.model_id);
    v_nearest bigint[];
begin
    -- Comparing all visible vectors is exact, and faster than the index while they are few.
    if num_nonnulls(
            (vector_candidates.filter).sources, (vector_candidates.filter).metadata, (vector_candidates.filter).since,
            (vector_candidates.filter).until
        ) = 0
        and loci_private.visible_vectors(
            vector_candidates.model_id, (vector_candidates.filter).scopes, (vector_candidates.filter).principals, v_limit + 1
        ) > v_limit
    then
        execute format(
            'select array_agg(n.chunk_id) from (
                select x.chunk_id from loci_private.%I as x where %s
                order by x.embedding operator(public.<=>) $2::public.halfvec limit $3
            ) as n', v_table, v_filter
        ) into v_nearest using vector_candidates.filter, vector_candidates.vector, vector_candidates.want;
        -- The index scan gives up after hnsw.max_scan_tuples; what is visible must still be found.
        if coalesce(cardinality(v_nearest), 0) < vector_candidates.want then
            v_nearest := null;
        end if;
    end if;
    return query execute format(
        'with seen as materialized (
            select x.chunk_id, x.embedding operator(public.<=>) $2::public.halfvec as distance
            from loci_private.%I as x
            where %s %s
        )
        select s.chunk_id, s.distance from seen as s where %s order by s.distance, s.chunk_id limit $3',
        v_table, v_filter,
        case when v_nearest is not null then 'and x.chunk_id = any($4)' end,
        case when vector_candidates.min_similarity is null then 'true' else '1 - s.distance >= $5' end
    ) using
        vector_candidates.filter, vector_candidates.vector, vector_candidates.want, v_nearest, vector_candidates.min_similarity;
end $$;
comment on function loci_private.vector_candidates(
    integer, text, loci_private.search_filter, double precision, integer
) is
'The chunks nearest to a vector of one model among those a search may find, at most want, always that many if there are.';
revoke execute on function loci_private.vector_candidates(
    integer, text, loci_private.search_filter, double precision, integer
) from public;
