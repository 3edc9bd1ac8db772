create or replace function loci_private.keyword_candidates(
    words tsquery,
    filter loci_private.search_filter,
    models integer [],
    vectors text [],
    min_similarity double precision,
    want integer
)
returns table (chunk_id bigint, rank double precision)
language plpgsql stable parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if keyword_candidates.words is null then
        return;
    end if;
    return query execute format(
        'select h.chunk_id, ts_rank_cd(h.lexemes, $2, 1)::float8 as rank
        from (select x.* from loci_private.chunks as x where x.lexemes @@ $2 and %s) as h
        where %s
        order by rank desc, h.chunk_id
        limit $3',
        loci_private.filter_sql(keyword_candidates.filter),
        case
            when keyword_candidates.min_similarity is null then 'true'
            else format(
                'exists (select from (%s) as n where n.similarity >= $5)',
                loci_private.similarity_sql(keyword_candidates.models, 'h.chunk_id', '$4')
            )
        end
    ) using
        keyword_candidates.filter, keyword_candidates.words, keyword_candidates.want, keyword_candidates.vectors,
        keyword_candidates.min_similarity;
end $$;
comment on function loci_private.keyword_candidates(
    tsquery, loci_private.search_filter, integer [], text [], double precision, integer
) is
'The chunks that match words best among those a search may find, at most want; min_similarity holds for them too, by their vectors.';
revoke execute on function loci_private.keyword_candidates(
    tsquery, loci_private.search_filter, integer [], text [], double precision, integer
) from public;
