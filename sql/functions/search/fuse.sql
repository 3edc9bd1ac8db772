create or replace function loci_private.fuse(
    models integer [],
    vectors text [],
    words tsquery,
    filter loci_private.search_filter,
    k integer,
    min_similarity double precision
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
as $$
#variable_conflict use_column
declare
    -- Each arm offers more than is asked for, so that fusion has something to choose from.
    v_want integer := greatest(4 * fuse.k, 50);
begin
    return query execute format(
        'with by_vector as (
            -- Distances of two models say nothing about each other; ranks do.
            select v.chunk_id, min(v.place) as place
            from (
                select c.chunk_id, row_number() over (partition by m.n order by c.distance, c.chunk_id) as place
                from unnest($1) with ordinality as m (model_id, n)
                cross join lateral loci_private.vector_candidates(m.model_id, ($2)[m.n], $4, $6, $7) as c
            ) as v
            group by v.chunk_id
        ), by_words as (
            select w.chunk_id, row_number() over (order by w.rank desc, w.chunk_id) as place
            from loci_private.keyword_candidates($3, $4, $1, $2, $6, $7) as w
        ), fused as (
            select coalesce(v.chunk_id, w.chunk_id) as chunk_id, v.place as vector_rank, w.place as keyword_rank,
                coalesce($9 / ($8 + v.place), 0) + coalesce($10 / ($8 + w.place), 0) as score
            from by_vector as v full join by_words as w on w.chunk_id = v.chunk_id
            order by score desc, chunk_id
            limit $5
        )
        select s.name, r.key, c.chunk_id, c.ordinal, c.content, r.title, c.scope_id, r.metadata || c.metadata,
            h.score::real, n.similarity::real, h.vector_rank::integer, h.keyword_rank::integer
        from fused as h
        join loci_private.chunks as c on c.chunk_id = h.chunk_id
        join loci_private.source_rows as r on r.row_id = c.row_id
        join loci_private.sources as s on s.source_id = r.source_id
        -- A chunk that has vectors of two models is one passage still.
        left join lateral (select max(m.similarity) as similarity from (%s) as m) as n on true
        order by h.score desc, h.chunk_id',
        loci_private.similarity_sql(fuse.models, 'h.chunk_id', '$2')
    ) using
        fuse.models, fuse.vectors, fuse.words, fuse.filter, fuse.k, fuse.min_similarity, v_want,
        loci.setting('rrf_constant')::float8, loci.setting('vector_weight')::float8, loci.setting('keyword_weight')::float8;
end $$;
comment on function loci_private.fuse(
    integer [], text [], tsquery, loci_private.search_filter, integer, double precision
) is
'Rows nearest to the vectors (one a model) and rows matching the words, fused by weighted reciprocal rank.';
revoke execute on function loci_private.fuse(
    integer [], text [], tsquery, loci_private.search_filter, integer, double precision
) from public;
