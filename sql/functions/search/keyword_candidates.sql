create or replace function loci_private.keyword_candidates(
    words loci_private.search_words,
    filter loci_private.search_filter,
    models integer [],
    vectors text [],
    min_similarity double precision,
    want integer
)
returns table (chunk_id bigint, rank double precision)
language plpgsql stable parallel unsafe rows 50
set search_path = pg_catalog, pg_temp
-- Words that nearly every chunk has are quicker read off visible chunks than out of the index of words. Whose these are is
-- known by an index: from the first chunk to the last the table is never read.
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    v_most integer := greatest(loci.setting('keyword_candidates')::integer, keyword_candidates.want);
    v_filter loci_private.search_filter := keyword_candidates.filter;
    v_required constant tsquery := (keyword_candidates.filter).required;
    v_common constant boolean := (keyword_candidates.words).common and keyword_candidates.min_similarity is null and num_nonnulls(
        v_filter.sources, v_filter.metadata, v_filter.since, v_filter.until, v_filter.required, v_filter.excluded, v_filter.within
    ) = 0;
    v_condition text;
    v_sql text;
    v_match tsquery;
    v_ids bigint[] := array[]::bigint[];
    v_ranks double precision[] := array[]::double precision[];
    v_more_ids bigint[];
    v_more_ranks double precision[];
begin
    if (keyword_candidates.words).any_word is null then
        return;
    end if;
    v_filter.required := null;
    v_filter.excluded := null;
    -- Marked rows are rare, and a statement that need not look for them is planned and run in less time.
    v_condition := loci_private.filter_sql(v_filter, exists (
        select from loci_private.row_queue as q where q.op in ('place', 'truncate', 'resync')
    ));
    v_sql := format(
        -- In three steps, each dearer and for fewer: the index, a rough guess, BM25.
        'with found as (
            select x.chunk_id, x.lexemes
            from loci_private.chunks as x
            where %s and x.chunk_id <> all($8) and %s and %s %s
            limit $6
        ), promising as materialized (
            select f.chunk_id, l.lexemes
            from found as f
            -- Unpacked once.
            cross join lateral (select setweight(f.lexemes, ''D'', ''{}''::text[]) as lexemes offset 0) as l
            order by (
                ($2).rough_weights[1] * ts_rank(''{1,1,1,1}'', l.lexemes, ($2).rough[1])
                + coalesce(($2).rough_weights[2] * ts_rank(''{1,1,1,1}'', l.lexemes, ($2).rough[2]), 0)
                + coalesce(($2).rough_weights[3] * ts_rank(''{1,1,1,1}'', l.lexemes, ($2).rough[3]), 0)
            ) / (1.2 + length(l.lexemes) / ($2).mean_length) desc, f.chunk_id
            limit greatest(2 * $3, 100)
        ), best as (
            select p.chunk_id, s.score
            from promising as p
            cross join lateral loci_private.word_score(p.lexemes, $2) as s
            order by s.score desc nulls last, p.chunk_id
            limit $3
        )
        select array_agg(b.chunk_id), array_agg(coalesce(b.score, 0)) from best as b',
        -- Not to be looked up by the word, where nearly every chunk looked at has it.
        case
            when v_common then '(x.lexemes @@ $7) is true'
            else 'x.lexemes @@ $7'
        end,
        v_condition,
        case
            when keyword_candidates.min_similarity is null then 'true'
            else format(
                'exists (select from (%s) as n where n.similarity >= $5)',
                loci_private.similarity_sql(keyword_candidates.models, 'x.chunk_id', '$4')
            )
        end,
        -- The text is at hand here: no list of all that match is needed.
        case when (keyword_candidates.filter).excluded is not null then 'and not x.lexemes @@ ($1).excluded' else '' end
    );
    -- What the likely ones leave open is filled up with whatever has one of the words. A passage that has a phrase has
    -- its words: the phrase alone is looked for then, and at once where the question is nothing but phrases.
    v_match := coalesce(v_required, (keyword_candidates.words).any_word);
    foreach v_match in array
        case
            when v_filter.within is not null or v_match = (keyword_candidates.words).likely or numnode(v_required) >= numnode((keyword_candidates.words).any_word)
                then array[v_match]
            else array[coalesce((keyword_candidates.words).likely && v_required, (keyword_candidates.words).likely), v_match]
        end
    loop
        execute v_sql into v_more_ids, v_more_ranks using
            keyword_candidates.filter, keyword_candidates.words, keyword_candidates.want, keyword_candidates.vectors,
            keyword_candidates.min_similarity, v_most, v_match, v_ids;
        v_ids := v_ids || coalesce(v_more_ids, '{}');
        v_ranks := v_ranks || coalesce(v_more_ranks, '{}');
        exit when cardinality(v_ids) >= keyword_candidates.want;
    end loop;
    return query
    select f.chunk_id, f.rank
    from unnest(v_ids, v_ranks) as f (chunk_id, rank)
    order by f.rank desc, f.chunk_id
    limit keyword_candidates.want;
end $$;
comment on function loci_private.keyword_candidates(
    loci_private.search_words, loci_private.search_filter, integer [], text [], double precision, integer
) is
'The chunks that match words best (BM25) among those a search may find, at most want, and that many if there are; min_similarity holds for them too, by their vectors.';
revoke execute on function loci_private.keyword_candidates(
    loci_private.search_words, loci_private.search_filter, integer [], text [], double precision, integer
) from public;
