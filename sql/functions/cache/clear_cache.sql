create or replace function loci.clear_cache(kind text default null)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    if clear_cache.kind is not null then
        perform loci_private.check_cache_kind(clear_cache.kind);
    end if;
    delete from loci_private.cache as c
    where c.ctid = any(array(
        select o.ctid
        from loci_private.cache as o
        where clear_cache.kind is null or o.kind = clear_cache.kind
        for update skip locked
    ));
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci.clear_cache(text) is
'Forget what is cached, of one kind or of all; returns how many entries went. Never needed for right results. LC320 unknown kind.';
revoke execute on function loci.clear_cache(text) from public;
grant execute on function loci.clear_cache(text) to loci_admin;
