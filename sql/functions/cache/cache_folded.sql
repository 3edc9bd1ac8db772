create or replace function loci_private.cache_folded(text text)
returns text
language sql immutable parallel safe
as $$ select pg_catalog.btrim(pg_catalog.regexp_replace(text, '\s+', ' ', 'g')) $$;
comment on function loci_private.cache_folded(text) is 'A text for the key of a cache: white space folded.';
revoke execute on function loci_private.cache_folded(text) from public;
