create or replace function loci_private.word_score(lexemes tsvector, words loci_private.search_words)
returns table (score double precision)
language sql immutable parallel safe
begin atomic
    -- BM25 with k1 = 1.2 and b = 0.8; a word of the context counts half. ts_rank() of a single word found n times is
    -- (1 + 1/4 + ... + 1/n^2) * 6 / pi^2: width_bucket() turns it into n again, by steps that lie 0.4 / n^2 * 6 / pi^2 below
    -- these. Context comes last and bears label C.
    select sum(q.weight * 2.2 * t.n / (t.n + 1.2 * (0.2 + 0.8 * length(lexemes) / (words).mean_length)))
    from unnest((words).words, (words).weights) as q (word, weight)
    cross join (
        select array[
            0.3647563, 0.6991162, 0.8004374, 0.8502536, 0.8800420, 0.8999010, 0.9140997, 0.9247617, 0.9330644, 0.9397141,
            0.9451603, 0.9497030, 0.9535500, 0.9568499, 0.9597117, 0.9622173, 0.9644293, 0.9663965, 0.9681575, 0.9697430,
            0.9711780, 0.9724830, 0.9736750, 0.9747679, 0.9757737, 0.9767024, 0.9775624, 0.9783612, 0.9791051, 0.9797996
        ]::real[] as steps
    ) as s
    cross join lateral (
        select ts_rank('{1,1,1,1}', lexemes, q.word) as rank offset 0
    ) as r
    cross join lateral (
        select (width_bucket(r.rank, s.steps) + width_bucket(ts_rank('{1,0,0,0}', lexemes, q.word), s.steps)) / 2.0::float8 as n
    ) as t
    where r.rank > 0;
end;
comment on function loci_private.word_score(tsvector, loci_private.search_words) is
'How well a chunk matches weighted words: BM25, null without a match. Written to be inlined.';
revoke execute on function loci_private.word_score(tsvector, loci_private.search_words) from public;
