create or replace function loci_private.weigh_words(words text [], scopes uuid [], most integer)
returns loci_private.search_words
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_words loci_private.search_words;
begin
    with sizes as materialized (
        select t.scope_id, t.chunks, t.words
        from loci_private.text_statistics as t
        where t.scope_id = any(weigh_words.scopes) and t.chunks > 0
    ), total as (
        select coalesce(sum(s.chunks), 0)::float8 as chunks, coalesce(sum(s.words)::float8 / nullif(sum(s.chunks), 0), 'infinity') as mean_length
        from sizes as s
    ), sample as materialized (
        -- However many scopes somebody sees, the largest tell how common a word is.
        select s.scope_id, s.chunks from sizes as s order by s.chunks desc, s.scope_id limit 100
    ), counted as (
        select c.word, sum(c.chunks)::float8 as chunks
        from loci_private.word_counts as c
        where c.scope_id = any(array(select s.scope_id from sample as s)) and c.word = any(weigh_words.words)
        group by c.word
    ), known as (
        select w.word, t.chunks as total, t.mean_length,
            least(coalesce(c.chunks * t.chunks / nullif((select sum(s.chunks) from sample as s), 0), 1), greatest(t.chunks, 1)) as chunks
        from unnest(weigh_words.words) as w (word)
        cross join total as t
        left join counted as c on c.word = w.word
    ), rarest as materialized (
        -- A question as long as a page is asked by its rarest words.
        select k.*,
            format('''%s''', replace(replace(k.word, E'\\', E'\\\\'), '''', '''''')) as quoted,
            ln(1 + (greatest(k.total, k.chunks) - k.chunks + 0.5) / (k.chunks + 0.5)) as weight,
            row_number() over (order by k.chunks, k.word) as place,
            sum(k.chunks) over (order by k.chunks, k.word) as so_far
        from known as k
        order by k.chunks, k.word
        limit 32
    ), others as (
        select r.*, row_number() over (order by r.place) as n
        from rarest as r
        where r.so_far > weigh_words.most and r.total > weigh_words.most
    ), pairs as (
        -- Common words find what they have in common; three times what chance would have it is a fair guess.
        select format('%s & %s', a.quoted, b.quoted) as pair, 3 * a.chunks * b.chunks / a.total <= weigh_words.most as rare,
            row_number() over (order by a.n + b.n, a.n) as n
        from others as a
        join others as b on b.n > a.n
        where b.n <= 4
    ), together as (
        select o.n, o.total, string_agg(o.quoted, ' & ') over w as words, o.total * exp(sum(ln(o.chunks / o.total)) over w) as expected
        from others as o
        window w as (order by o.n)
    ), groups as (
        select string_agg(g.quoted, ' | ')::tsquery as words, sum(g.weight) as weight, g.tile
        from (select r.quoted, r.weight, ntile(3) over (order by r.place) as tile from rarest as r) as g
        group by g.tile
    )
    select
        (select array_agg(r.quoted::tsquery order by r.place) from rarest as r),
        (select array_agg(r.weight order by r.place) from rarest as r),
        (select array_agg(g.words order by g.tile) from groups as g),
        (select array_agg(g.weight order by g.tile) from groups as g),
        (select t.mean_length from total as t),
        (select string_agg(r.quoted, ' | ') from rarest as r)::tsquery,
        coalesce(l.words, t.words, (select r.quoted from rarest as r where r.place = 1))::tsquery,
        l.words is null and t.words is not null and t.common
    into v_words
    from (
        select string_agg(f.text, ' | ') as words
        from (
            select r.quoted from rarest as r where r.so_far <= weigh_words.most or r.total <= weigh_words.most
            union all
            select p.pair from pairs as p where p.rare
        ) as f (text)
    ) as l
    -- Where even pairs are common: as many words at once as are together in a fourth of all, or at least in enough.
    left join lateral (
        select g.words, g.expected >= g.total / 4 as common
        from together as g
        where g.n = 2 or (g.n > 2 and (g.expected >= g.total / 4 or g.expected >= weigh_words.most))
        order by g.expected >= g.total / 4 desc, g.n desc
        limit 1
    ) as t on true;
    return v_words;
end $$;
comment on function loci_private.weigh_words(text [], uuid [], integer) is
'Weights of words by how rare they are in these scopes, and how to find at little cost what may match them best: most is about how many chunks may be looked at.';
revoke execute on function loci_private.weigh_words(text [], uuid [], integer) from public;
