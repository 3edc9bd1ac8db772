create or replace function loci_private.cache_used(key bytea, unused interval)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
begin
    if not exists (select from loci_private.cache as c where c.key = cache_used.key and c.used_at < v_now - cache_used.unused) then
        return;
    end if;
    -- Written a few times in an entry's life at most, and never by two at once: hits do not queue up for a row.
    update loci_private.cache as c
    set used_at = v_now
    where c.ctid = any(array(
        select o.ctid
        from loci_private.cache as o
        where o.key = cache_used.key
            and o.used_at < v_now - cache_used.unused
        for update skip locked
    ));
end $$;
comment on function loci_private.cache_used(bytea, interval) is 'An entry that was not used for so long is of use again: keep it longer than others.';
revoke execute on function loci_private.cache_used(bytea, interval) from public;
