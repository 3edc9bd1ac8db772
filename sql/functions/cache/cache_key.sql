create or replace function loci_private.cache_key(kind text, key_parts jsonb, user_id uuid, scopes uuid [])
returns bytea
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Each part stands in its own quotes: no value can pass for another part. A restored dump is another server's.
    return sha256(convert_to(row(
        'put', cache_key.kind, cache_key.user_id, cache_key.scopes, loci_private.principals_of(cache_key.user_id),
        timestamptz_send(pg_postmaster_start_time()),
        case when cache_key.kind = 'embedding' then cache_key.key_parts else loci_private.cache_parts(cache_key.key_parts) end
    )::text, 'UTF8'));
end $$;
comment on function loci_private.cache_key(text, jsonb, uuid, uuid []) is
'Key of what a user put: with the user, and everything the user could see then.';
revoke execute on function loci_private.cache_key(text, jsonb, uuid, uuid []) from public;
