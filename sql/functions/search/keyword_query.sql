create or replace function loci_private.keyword_query(
    query text, configs regconfig [], out words text [], out required tsquery, out excluded tsquery, out meaning text
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_text text := translate(left(keyword_query.query, 20000), '“”„', '"""');
    v_phrase constant text := '(^|[[:space:](])(-?)"([^"]+)"';
    v_exclusion constant text := '(^|[[:space:]])-([[:alpha:]_][^[:space:]"]*)';
begin
    select
        string_agg('(' || p.phrase || ')', ' & ') filter (where m[2] = '')::tsquery,
        string_agg('(' || p.phrase || ')', ' | ') filter (where m[2] = '-')::tsquery
    into required, excluded
    from (
        select m from regexp_matches(v_text, v_phrase, 'g') as m
        union all
        select array['', '-', m[2]] from regexp_matches(regexp_replace(v_text, v_phrase, '\1', 'g'), v_exclusion, 'g') as m
    ) as found (m)
    cross join lateral (
        select string_agg('(' || t.phrase::text || ')', ' | ') as phrase
        from unnest(keyword_query.configs) as c (config)
        cross join lateral phraseto_tsquery(c.config, m[3]) as t (phrase)
        where numnode(t.phrase) > 0
    ) as p;
    meaning := regexp_replace(v_text, '(^|[[:space:](])-"[^"]+"', '\1', 'g');
    meaning := regexp_replace(meaning, v_exclusion, '\1', 'g');
    select array_agg(distinct l.lexeme) into words
    from unnest(keyword_query.configs) as c (config)
    cross join lateral unnest(loci_private.terms(c.config, meaning)) as l;
    meaning := coalesce(nullif(btrim(meaning), ''), keyword_query.query);
end $$;
comment on function loci_private.keyword_query(text, regconfig []) is
'What a question asks for: its words, any of which may match; what a passage must ("a phrase") and must not (-word, -"a phrase") match; meaning: the question without what it excludes.';
revoke execute on function loci_private.keyword_query(text, regconfig []) from public;
