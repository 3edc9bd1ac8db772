create or replace function loci_private.check_cache_kind(kind text)
returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if check_cache_kind.kind is null
        or check_cache_kind.kind not in ('search', 'embedding', 'context', 'similarity', 'routing', 'response')
    then
        raise exception 'there is no cache of kind "%"', coalesce(check_cache_kind.kind, 'null')
            using errcode = 'LC320', hint = 'Kinds: search, embedding, context, similarity, routing, response.';
    end if;
end $$;
comment on function loci_private.check_cache_kind(text) is 'Refuse kinds of caches that do not exist (LC320).';
revoke execute on function loci_private.check_cache_kind(text) from public;
