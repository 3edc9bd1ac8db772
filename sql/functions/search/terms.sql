create or replace function loci_private.terms(config regconfig, text text)
returns tsvector
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_words tsvector := to_tsvector(config, text);
    v_parts text;
    v_whole text;
begin
    -- Most prose has no identifier in it.
    if text !~ '[[:alnum:]][._/\\:@#-]+[[:alnum:]]|[[:lower:]][[:upper:]]|[[:upper:]]{2}[[:lower:]]' then
        return v_words;
    end if;
    with names as (
        select distinct m[1] as name
        from regexp_matches(text, '[[:alnum:]_]+(?:[./\\:@#-]+[[:alnum:]_]+)*', 'g') as m
        where length(m[1]) between 3 and 200
            and m[1] ~ '[._/\\:@#-]|[[:lower:]][[:upper:]]|[[:upper:]]{2}[[:lower:]]'
    )
    select
        string_agg(
            regexp_replace(
                regexp_replace(n.name, '([[:lower:][:digit:]])([[:upper:]])|([[:upper:]])(?=[[:upper:]][[:lower:]])', '\1\3 \2', 'g'),
                '[^[:alnum:]]+', ' ', 'g'
            ), ' '
        ) filter (where w.n = 1),
        string_agg(format('''%s'':1', replace(w.whole, E'\\', E'\\\\')), ' ') filter (where w.whole <> all(tsvector_to_array(v_words)))
    into v_parts, v_whole
    from names as n
    -- Versions are looked for with and without their v.
    cross join lateral unnest(array[lower(n.name), substring(lower(n.name) from '^v([0-9].*)$')]) with ordinality as w (whole, n);
    -- What the configuration's own parser has found already counts once.
    return v_words
        || ts_delete(to_tsvector(config, coalesce(v_parts, '')), tsvector_to_array(v_words))
        || coalesce(v_whole, '')::tsvector;
end $$;
comment on function loci_private.terms(regconfig, text) is
'The words of a text as they are searched for: those of its text search configuration, and identifiers (snake_case, CamelCase, dotted, paths, versions, codes) both whole and in parts.';
revoke execute on function loci_private.terms(regconfig, text) from public;
