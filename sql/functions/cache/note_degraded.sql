create or replace function loci_private.note_degraded()
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if loci_private.cache_access() = 'write' then
        perform loci_private.note_change(array[uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff']);
    end if;
end $$;
comment on function loci_private.note_degraded() is
'What this transaction finds is less than there is, because a model is out of reach: loci_private.cached_search() does not keep it. A scope that nobody has stands for that.';
revoke execute on function loci_private.note_degraded() from public;
