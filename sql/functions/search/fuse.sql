create or replace function loci_private.fuse(
    models integer [],
    vectors text [],
    words tsquery,
    scopes uuid [],
    principals uuid [],
    k integer,
    min_similarity double precision,
    sources integer [],
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
set jit = off
-- Room to keep the hidden rows in a hash table, however many there are.
set work_mem = '64MB'
set hnsw.iterative_scan = 'relaxed_order'
set hnsw.ef_search = 100
set hnsw.max_scan_tuples = 100000
as $$
#variable_conflict use_column
declare
    v_limit integer := loci.setting('exact_scan_limit')::integer;
    -- Each arm offers more than is asked for, so that fusion has something to choose from.
    v_candidates integer := greatest(4 * fuse.k, 50);
    v_filter text;
    v_arms text[] := '{}';
    v_similarities text[] := '{}';
    v_ids text[] := '{}';
    v_nearest bigint[];
    v_table text;
    v_distance text;
    v_narrowed boolean := fuse.sources is not null or fuse.metadata is not null or fuse.since is not null
        or fuse.until is not null;
begin
    v_filter := 'loci.is_visible(x.scope_id, x.audience, $1, $2) '
        -- Marked rows are rare: usually one look at an empty index answers for all. Else they are looked up once a search.
        'and ((select not exists (select from loci_private.row_queue as q where q.op in (''place'', ''truncate'', ''resync'')))'
        ' or (x.source_id not in (select h.source_id from loci_private.hidden_sources as h)'
        ' and x.row_id not in (select h.row_id from loci_private.hidden_rows as h)))'
        || case when fuse.sources is not null then ' and x.source_id = any($3)' else '' end
        || case when fuse.metadata is not null or fuse.since is not null or fuse.until is not null then
            ' and exists (select from loci_private.source_rows as r where r.row_id = x.row_id'
            || case when fuse.metadata is not null then ' and r.metadata @> $4' else '' end
            || case when fuse.since is not null then ' and r.updated_at >= $5' else '' end
            || case when fuse.until is not null then ' and r.updated_at < $6' else '' end || ')'
            else ''
        end;
    for v_n in 1 .. cardinality(fuse.models) loop
        v_table := loci_private.model_table(fuse.models[v_n]);
        v_distance := format('x.embedding operator(public.<=>) ($8)[%s]::public.halfvec', v_n);
        v_nearest := null;
        -- Comparing all visible vectors is exact, and faster than the index while they are few.
        if not v_narrowed
            and loci_private.visible_vectors(fuse.models[v_n], fuse.scopes, fuse.principals, v_limit + 1) > v_limit
        then
            execute format(
                'select array_agg(n.chunk_id) from (
                    select x.chunk_id from loci_private.%I as x where %s order by %s limit $9
                ) as n', v_table, v_filter, v_distance
            ) into v_nearest using
                fuse.scopes, fuse.principals, fuse.sources, fuse.metadata, fuse.since, fuse.until, fuse.words, fuse.vectors,
                v_candidates;
            -- The index scan gives up after hnsw.max_scan_tuples; what is visible must still be found.
            if coalesce(cardinality(v_nearest), 0) < v_candidates then
                v_nearest := null;
            end if;
        end if;
        v_ids := v_ids || coalesce(v_nearest::text, '{}');
        v_arms := v_arms || format(
            '(with seen as materialized (select x.chunk_id, %s as distance from loci_private.%I as x where %s %s)
            select s.chunk_id, s.distance, %s as model from seen as s where %s order by s.distance, s.chunk_id limit $9)',
            v_distance, v_table, v_filter,
            case when v_nearest is not null then format('and x.chunk_id = any(($15)[%s]::bigint[])', v_n) end,
            v_n,
            case when fuse.min_similarity is null then 'true' else '1 - s.distance >= $10' end
        );
        v_similarities := v_similarities || format(
            'select 1 - (%s) as similarity from loci_private.%I as x where x.chunk_id = h.chunk_id', v_distance, v_table
        );
    end loop;

    return query execute format(
        'with ranked as (
            -- Distances of two models say nothing about each other; ranks do.
            select v.chunk_id, row_number() over (partition by v.model order by v.distance, v.chunk_id) as place
            from (%1$s) as v
        ), by_vector as (
            select r.chunk_id, min(r.place) as place from ranked as r group by r.chunk_id
        ), by_words as (
            select w.chunk_id, row_number() over (order by w.rank desc, w.chunk_id) as place
            from (
                select h.chunk_id, ts_rank_cd(h.lexemes, $7, 1) as rank
                from (select x.* from loci_private.chunks as x where $7 is not null and x.lexemes @@ $7 and %2$s) as h
                where %3$s
                order by rank desc, h.chunk_id
                limit $9
            ) as w
        ), fused as (
            select coalesce(v.chunk_id, w.chunk_id) as chunk_id, v.place as vector_rank, w.place as keyword_rank,
                coalesce($13 / ($12 + v.place), 0) + coalesce($14 / ($12 + w.place), 0) as score
            from by_vector as v full join by_words as w on w.chunk_id = v.chunk_id
            order by score desc, chunk_id
            limit $11
        )
        select s.name, r.key, c.chunk_id, c.ordinal, c.content, r.title, c.scope_id, r.metadata || c.metadata,
            h.score::real, n.similarity::real, h.vector_rank::integer, h.keyword_rank::integer
        from fused as h
        join loci_private.chunks as c on c.chunk_id = h.chunk_id
        join loci_private.source_rows as r on r.row_id = c.row_id
        join loci_private.sources as s on s.source_id = r.source_id
        left join lateral (%4$s) as n on true
        order by h.score desc, h.chunk_id',
        coalesce(nullif(array_to_string(v_arms, ' union all '), ''), 'select null::bigint as chunk_id, null::float8 as distance, 0 as model where false'),
        v_filter,
        case
            when fuse.min_similarity is null then 'true'
            when cardinality(fuse.models) = 0 then 'false'
            else format('exists (select from (%s) as n where n.similarity >= $10)', array_to_string(v_similarities, ' union all '))
        end,
        coalesce(nullif(array_to_string(v_similarities, ' union all '), ''), 'select null::float8 as similarity')
    ) using
        fuse.scopes, fuse.principals, fuse.sources, fuse.metadata, fuse.since, fuse.until, fuse.words, fuse.vectors,
        v_candidates, fuse.min_similarity, fuse.k, loci.setting('rrf_constant')::float8,
        loci.setting('vector_weight')::float8, loci.setting('keyword_weight')::float8, v_ids;
end $$;
comment on function loci_private.fuse(
    integer [], text [], tsquery, uuid [], uuid [], integer, double precision, integer [], jsonb, timestamptz, timestamptz
) is
'Rows nearest to the vectors (one a model) and rows matching the words, fused by weighted reciprocal rank; visibility and filters inside both arms.';
revoke execute on function loci_private.fuse(
    integer [], text [], tsquery, uuid [], uuid [], integer, double precision, integer [], jsonb, timestamptz, timestamptz
) from public;
