create or replace function loci_private.cache_room(kind text, key bytea)
returns boolean
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_size constant integer := (loci_private.cache_limits(cache_room.kind)).size;
    v_batch constant integer := greatest(v_size / 20, 1);
begin
    if v_size = 0 then
        return false;
    end if;
    delete from loci_private.cache as c
    where c.ctid = any(array(
        select o.ctid from loci_private.cache as o where o.key = cache_room.key for update skip locked
    ));
    if nextval(format('loci_private.cache_%s_stores', cache_room.kind)::regclass) % v_batch = 0 then
        perform loci_private.cache_trim(cache_room.kind, v_size - v_batch);
    end if;
    return true;
end $$;
comment on function loci_private.cache_room(text, bytea) is
'Make room for one entry; false when its kind is off. One put in twenty evicts for all of them, and none waits for another.';
revoke execute on function loci_private.cache_room(text, bytea) from public;
