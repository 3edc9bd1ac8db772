create or replace function loci_private.word_score_sql(lexemes text, words text)
returns text
language sql immutable parallel safe
as $$
    -- BM25 with k1 = 1.2 and b = 0.8; a word of the context counts half. ts_rank() of a single word found n times is
    -- (1 + 1/4 + ... + 1/n^2) * 6 / pi^2: width_bucket() turns it into n again. Context comes last and bears label C.
    select pg_catalog.format(
        'select sum(q.weight * 2.2 * t.n / (t.n + 1.2 * (0.2 + 0.8 * length(%1$s) / (%2$s).mean_length))) as score
        from unnest((%2$s).words, (%2$s).weights) as q (word, weight)
        cross join lateral (select ts_rank(''{1,1,1,1}'', %1$s, q.word) as rank offset 0) as r
        cross join lateral (
            select (width_bucket(r.rank, %3$L::real[]) + width_bucket(ts_rank(''{1,0,0,0}'', %1$s, q.word), %3$L::real[])) / 2.0::float8 as n
        ) as t
        where r.rank > 0',
        word_score_sql.lexemes, word_score_sql.words,
        (
            select pg_catalog.array_agg(((s.sum - 0.4 / (s.n * s.n)) * 6 / (pg_catalog.pi() * pg_catalog.pi()))::pg_catalog.float4 order by s.n)
            from (
                select n, pg_catalog.sum(1.0::pg_catalog.float8 / (n * n)) over (order by n) as sum
                from pg_catalog.generate_series(1, 30) as n
            ) as s
        )
    )
$$;
comment on function loci_private.word_score_sql(text, text) is
'SQL text that gives how well a chunk matches weighted words: BM25, null without a match. lexemes: an expression for its words; words: one for loci_private.search_words.';
revoke execute on function loci_private.word_score_sql(text, text) from public;
