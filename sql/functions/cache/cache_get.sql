create or replace function loci.cache_get(kind text, key_parts jsonb)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access constant text := loci_private.cache_access();
    v_user constant uuid := loci.current_user_id();
    v_scopes constant uuid[] := loci_private.scopes_of(v_user);
    v_keep interval;
    v_key bytea;
    v_value jsonb;
begin
    perform loci_private.check_cache_kind(cache_get.kind);
    v_keep := (loci_private.cache_limits(cache_get.kind)).keep;
    if v_user is null or cache_get.key_parts is null or v_access = 'none' or v_keep is null then
        return null;
    end if;
    v_key := loci_private.cache_key(cache_get.kind, cache_get.key_parts, v_user, v_scopes);
    select e.value into v_value
    from (
        select c.value, c.snapshot
        from loci_private.cache as c
        where c.key = v_key and c.made_at > loci_private.now() - v_keep
        order by c.made_at desc
        limit 1
    ) as e
    where e.snapshot is null or not exists (select from loci_private.changes_since(e.snapshot, v_scopes));
    if v_access = 'write' then
        perform nextval(format('loci_private.cache_%s_%s', cache_get.kind, case when found then 'hits' else 'misses' end)::regclass);
        if v_value is not null then
            perform loci_private.cache_used(v_key, v_keep / 20);
        end if;
    end if;
    return v_value;
end $$;
comment on function loci.cache_get(text, jsonb) is
'What the current user put into a cache under these parts, or null: expired, evicted, never there, or the user''s rights or rows in sight have changed since. Kinds: search, embedding, context, similarity, routing, response. LC320 for another kind.';
revoke execute on function loci.cache_get(text, jsonb) from public;
grant execute on function loci.cache_get(text, jsonb) to loci_app, loci_admin;
