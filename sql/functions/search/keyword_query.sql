create or replace function loci_private.keyword_query(query text, configs regconfig [])
returns tsquery
language sql stable parallel safe
as $$
    -- Any word may match: a natural question rarely has all of its words in one passage.
    select pg_catalog.string_agg(
        distinct pg_catalog.format('''%s''', pg_catalog.replace(pg_catalog.replace(l.lexeme, E'\\', E'\\\\'), '''', '''''')), ' | '
    )::pg_catalog.tsquery
    from pg_catalog.unnest(configs) as c (config)
    cross join lateral pg_catalog.unnest(pg_catalog.to_tsvector(c.config, query)) as l
$$;
comment on function loci_private.keyword_query(text, regconfig []) is
'The words of a question, any of which may match; null when it has none.';
revoke execute on function loci_private.keyword_query(text, regconfig []) from public;
