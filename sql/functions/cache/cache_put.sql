create or replace function loci.cache_put(kind text, key_parts jsonb, value jsonb, as_of pg_snapshot default null)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user constant uuid := loci.current_user_id();
    v_scopes constant uuid[] := loci_private.scopes_of(v_user);
    v_snapshot constant pg_snapshot := coalesce(cache_put.as_of, loci_private.cache_snapshot());
    v_now constant timestamptz := loci_private.now();
    v_key bytea;
begin
    perform loci_private.check_cache_kind(cache_put.kind);
    if v_user is null then
        raise exception 'nobody is named, whose entry this would be'
            using errcode = 'LC321', hint = 'Name the user first: select loci.act_as(user_id).';
    end if;
    if cache_put.key_parts is null or cache_put.value is null then
        raise exception 'an entry needs key_parts and a value'
            using errcode = 'LC322', hint = 'Pass everything the value depends on as key_parts, and the value, both as jsonb.';
    end if;
    if pg_column_size(cache_put.value) > 1048576 then
        raise exception 'the value is too large for a cache'
            using errcode = 'LC323', detail = format('It has %s bytes; the most is 1048576.', pg_column_size(cache_put.value)),
            hint = 'Keep it in a table of your own.';
    end if;
    -- Apart: on a standby the second question alone is an error.
    if loci_private.cache_access() <> 'write' then
        return false;
    end if;
    if exists (select from loci_private.changes_since(v_snapshot, v_scopes)) then
        return false;
    end if;
    v_key := loci_private.cache_key(cache_put.kind, cache_put.key_parts, v_user, v_scopes);
    if not loci_private.cache_room(cache_put.kind, v_key) then
        return false;
    end if;
    insert into loci_private.cache (kind, key, snapshot, made_at, used_at, value)
    values (
        cache_put.kind, v_key,
        -- Vectors and routes follow from the words alone; the others may quote rows.
        case when cache_put.kind not in ('embedding', 'routing') then v_snapshot end,
        v_now, v_now, cache_put.value
    );
    return true;
end $$;
comment on function loci.cache_put(text, jsonb, jsonb, pg_snapshot) is
'Keep a value for the current user alone, under these parts, until it expires or something changes that the user can see (kinds routing and embedding: until it expires). as_of: pg_current_snapshot() from before the value was computed. False where nothing was kept: the kind is off, the transaction is read only or not READ COMMITTED, or something changed already. LC320 to LC323.';
revoke execute on function loci.cache_put(text, jsonb, jsonb, pg_snapshot) from public;
grant execute on function loci.cache_put(text, jsonb, jsonb, pg_snapshot) to loci_app, loci_admin;
