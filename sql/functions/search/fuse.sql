create or replace function loci_private.fuse(
    models integer [],
    vectors text [],
    words loci_private.search_words,
    filter loci_private.search_filter,
    k integer,
    min_similarity double precision,
    merge boolean
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
language plpgsql stable parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
-- Room to keep the hidden rows in a hash table, however many there are.
set work_mem = '64MB'
as $$
#variable_conflict use_column
declare
    v_filter loci_private.search_filter := fuse.filter;
    -- Each arm offers more than is asked for, so that fusion has something to choose from.
    v_want integer := greatest(4 * fuse.k, 50);
    -- Of these, copies and neighbours are looked for among the best.
    v_near integer := 2 * fuse.k;
    v_vector_weight double precision := loci.setting('vector_weight')::float8;
    v_keyword_weight double precision := loci.setting('keyword_weight')::float8;
    v_best jsonb;
    v_passages bigint;
    v_scored bigint;
    v_found bigint;
begin
    -- Looked up once for both arms.
    if v_filter.required is not null then
        v_filter.within := loci_private.chunks_with(v_filter.required, 1000);
        if v_filter.within is not null then
            v_filter.required := null;
        end if;
    end if;
    loop
        with by_vector as (
            select c.chunk_id, m.n as model, row_number() over (partition by m.n order by c.distance, c.chunk_id) as place
            from unnest(fuse.models) with ordinality as m (model_id, n)
            cross join lateral loci_private.vector_candidates(
                m.model_id, fuse.vectors[m.n]::public.halfvec, v_filter, fuse.min_similarity, v_want / 4, v_want
            ) as c
        ), by_words as (
            select w.chunk_id, row_number() over (order by w.rank desc, w.chunk_id) as place
            from loci_private.keyword_candidates(
                fuse.words, v_filter, fuse.models, fuse.vectors, fuse.min_similarity, v_want
            ) as w
        ), pool as materialized (
            select coalesce(v.chunk_id, w.chunk_id) as chunk_id, min(v.place) as vector_rank, min(w.place) as keyword_rank
            from by_vector as v
            full join by_words as w on w.chunk_id = v.chunk_id
            group by coalesce(v.chunk_id, w.chunk_id)
            -- No more than there are; the planner is to know that they are few.
            limit v_want * (1 + cardinality(fuse.models))
        -- Whatever one arm found, the other one judges as well.
        ), judged as materialized (
            select p.*, c.row_id, c.ordinal, n.model, n.similarity, coalesce(s.score, 0) as words
            from pool as p
            join loci_private.chunks as c on c.chunk_id = p.chunk_id
            left join loci_private.similarities(
                fuse.models, fuse.vectors, array(select o.chunk_id from pool as o)
            ) as n on n.chunk_id = p.chunk_id
            cross join lateral loci_private.word_score(c.lexemes, fuse.words) as s
        ), scaled as (
            select j.*,
                -- From the best down to the fiftieth, whatever k is; two models have nothing to say about each other.
                (j.similarity - min(j.similarity) filter (where j.vector_rank <= 50) over m)
                / nullif(max(j.similarity) over m - min(j.similarity) filter (where j.vector_rank <= 50) over m, 0) as meaning,
                j.words / nullif(max(j.words) over (), 0) as word
            from judged as j
            window m as (partition by j.model)
        ), scored as (
            select s.*,
                case
                    -- No vector yet, or no words in the question: the other arm speaks for both.
                    when s.similarity is null or v_vector_weight = 0 then coalesce(s.word, 0)
                    when (fuse.words).any_word is null or v_keyword_weight = 0 then coalesce(s.meaning, 1)
                    else (v_vector_weight * coalesce(s.meaning, 1) + v_keyword_weight * coalesce(s.word, 0))
                        / (v_vector_weight + v_keyword_weight)
                end as score
            from scaled as s
        ), told as (
            -- The same text again, but for capitals and white space, is one passage. Signs matter: -5 is not 5.
            select distinct on (h.told) h.*
            from (
                select s.*,
                    -- One space is left as it is: most text has no other white space, and is read through without a match.
                    sha256(convert_to(lower(regexp_replace(
                        concat_ws(' ', c.context, c.content),
                        '[[:space:]]{2,}|[\t-\r\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]', ' ', 'g'
                    )), 'UTF8')) as told
                from (select s.* from scored as s order by s.score desc, s.chunk_id limit v_near) as s
                join loci_private.chunks as c on c.chunk_id = s.chunk_id
            ) as h
            order by h.told, h.score desc, h.chunk_id
        ), neighbours as (
            select t.*, case when fuse.merge then t.ordinal - row_number() over (partition by t.row_id order by t.ordinal) else t.chunk_id end as stretch
            from told as t
        ), passages as (
            select distinct on (b.row_id, b.stretch) b.*,
                array_agg(b.chunk_id) over (
                    partition by b.row_id, b.stretch order by b.ordinal rows between unbounded preceding and unbounded following
                ) as chunks
            from neighbours as b
            order by b.row_id, b.stretch, b.score desc, b.chunk_id
        ), best as (
            select p.* from passages as p order by p.score desc, p.chunk_id limit fuse.k
        )
        select coalesce(jsonb_agg(to_jsonb(b) order by b.score desc, b.chunk_id), '[]') as best, count(*) as passages,
            (select count(*) from scored as s) as scored,
            (select greatest(count(p.vector_rank), count(p.keyword_rank)) from pool as p) as found
        into v_best, v_passages, v_scored, v_found
        from best as b;
        -- Copies and neighbours took the place of others.
        exit when v_passages >= fuse.k or (v_found < v_want and v_scored <= v_near) or v_want >= 20000;
        v_want := 4 * v_want;
        v_near := 4 * v_near;
    end loop;
    return query
    select s.name, r.key, b.chunk_id, c.ordinal,
        case when cardinality(b.chunks) = 1 then c.content else loci_private.joined(b.chunks) end,
        r.title, c.scope_id, r.metadata || c.metadata, b.score::real, b.similarity::real, b.vector_rank, b.keyword_rank
    from jsonb_to_recordset(v_best) as b (
        chunk_id bigint, chunks bigint [], score float8, similarity float8, vector_rank integer, keyword_rank integer
    )
    join loci_private.chunks as c on c.chunk_id = b.chunk_id
    join loci_private.source_rows as r on r.row_id = c.row_id
    join loci_private.sources as s on s.source_id = r.source_id
    order by b.score desc, b.chunk_id;
end $$;
comment on function loci_private.fuse(
    integer [], text [], loci_private.search_words, loci_private.search_filter, integer, double precision, boolean
) is
'The k best passages of both arms: what either found is judged by both, and the two judgements, each scaled to 0 .. 1, are averaged. Copies count once. merge: neighbouring chunks of a row become one passage.';
revoke execute on function loci_private.fuse(
    integer [], text [], loci_private.search_words, loci_private.search_filter, integer, double precision, boolean
) from public;
