create or replace function loci_private.vector_candidates(
    model_id integer,
    vector public.halfvec,
    filter loci_private.search_filter,
    min_similarity double precision,
    k integer,
    want integer
)
returns table (chunk_id bigint, distance double precision)
language plpgsql stable parallel unsafe rows 50
set search_path = pg_catalog, pg_temp
set jit = off
-- Room for the graph's scan and for hidden rows, however many there are.
set work_mem = '64MB'
set enable_sort = on
set hnsw.iterative_scan = 'relaxed_order'
set hnsw.ef_search = 100
set hnsw.max_scan_tuples = 20000
as $$
#variable_conflict use_column
declare
    -- Marked rows are rare, and a statement that need not look for them is planned and run in less time.
    v_filter text := loci_private.filter_sql(vector_candidates.filter, exists (
        select from loci_private.row_queue as q where q.op in ('place', 'truncate', 'resync')
    ));
    v_table text := loci_private.model_table(vector_candidates.model_id);
    v_route record;
    v_ids bigint[];
    v_distances float8[];
begin
    v_route := loci_private.vector_route(
        vector_candidates.model_id, vector_candidates.filter, vector_candidates.k, vector_candidates.want
    );
    if v_route.path = 'index' then
        perform set_config('hnsw.ef_search', v_route.ef_search::text, true),
            set_config('hnsw.max_scan_tuples', v_route.max_scan_tuples::text, true),
            -- The index is the one way to read the nearest first without sorting.
            set_config('enable_sort', 'off', true);
        execute format(
            'with near as materialized (
                select x.chunk_id, x.embedding operator(public.<=>) $2 as distance
                from loci_private.%I as x where %s order by %s limit $3
            )
            select array_agg(n.chunk_id), array_agg(n.distance) from near as n',
            v_table, v_filter, loci_private.nearness_sql(vector_candidates.model_id)
        ) into v_ids, v_distances
        using vector_candidates.filter, vector_candidates.vector, v_route.candidates;
        perform set_config('enable_sort', 'on', true);
        -- The index scan gives up after hnsw.max_scan_tuples; what is visible must still be found.
        if cardinality(v_ids) >= v_route.candidates then
            return query
            select n.chunk_id, n.distance
            from unnest(v_ids, v_distances) as n (chunk_id, distance)
            where vector_candidates.min_similarity is null or 1 - n.distance >= vector_candidates.min_similarity
            order by n.distance, n.chunk_id
            limit vector_candidates.want;
            return;
        end if;
    end if;
    return query execute format(
        'select s.chunk_id, s.distance
        from (
            select x.chunk_id, x.embedding operator(public.<=>) $2 as distance
            from loci_private.%I as x where %s
            -- Keeps the distance out of reach of the graph, which would only find some.
            offset 0
        ) as s
        where %s order by s.distance, s.chunk_id limit $3',
        v_table, v_filter, case when vector_candidates.min_similarity is null then 'true' else '1 - s.distance >= $4' end
    ) using vector_candidates.filter, vector_candidates.vector, vector_candidates.want, vector_candidates.min_similarity;
end $$;
comment on function loci_private.vector_candidates(
    integer, public.halfvec, loci_private.search_filter, double precision, integer, integer
) is
'The chunks nearest to a vector of one model among those a search may find, at most want, always that many if there are. The k nearest have to be right; of the others some may stand for nearer ones.';
revoke execute on function loci_private.vector_candidates(
    integer, public.halfvec, loci_private.search_filter, double precision, integer, integer
) from public;
