create or replace function loci_private.memory_hash(content text)
returns bytea
language sql immutable parallel safe
as $$
    select pg_catalog.sha256(pg_catalog.convert_to(
        pg_catalog.lower(pg_catalog.regexp_replace(pg_catalog.btrim(content), '\s+', ' ', 'g')), 'UTF8'
    ))
$$;
comment on function loci_private.memory_hash(text) is 'What two memories that say the same have in common: the hash of the text, its case and white space folded.';
revoke execute on function loci_private.memory_hash(text) from public;
