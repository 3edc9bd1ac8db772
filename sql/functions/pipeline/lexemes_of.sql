create or replace function loci_private.lexemes_of(config regconfig, context text, content text)
returns tsvector
language sql immutable parallel safe
as $$
    -- Content first and without a label: loci_private.word_score() counts on both.
    select loci_private.terms(config, content)
        operator(pg_catalog.||) pg_catalog.setweight(loci_private.terms(config, coalesce(context, '')), 'C')
$$;
comment on function loci_private.lexemes_of(regconfig, text, text) is
'What the full-text arm finds a chunk by: the words of its content, and those of its context under label C.';
revoke execute on function loci_private.lexemes_of(regconfig, text, text) from public;
