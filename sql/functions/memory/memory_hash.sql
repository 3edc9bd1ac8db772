create or replace function loci_private.memory_hash(content text)
returns bytea
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(convert_to(lower(regexp_replace(btrim(memory_hash.content), '\s+', ' ', 'g')), 'UTF8'));
end $$;
comment on function loci_private.memory_hash(text) is 'What two memories that say the same have in common: the hash of the text, its case and white space folded.';
revoke execute on function loci_private.memory_hash(text) from public;
