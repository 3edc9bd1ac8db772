create or replace function loci_private.lock_capacity(place text, changing boolean)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if lock_capacity.changing then
        perform pg_advisory_xact_lock(hashtextextended('loci memory capacity ' || place, 0));
    else
        perform pg_advisory_xact_lock_shared(hashtextextended('loci memory capacity ' || place, 0));
    end if;
end $$;
comment on function loci_private.lock_capacity(text, boolean) is
'Until the end of the transaction the capacity of a level or scope stays what it is, or changes while nobody adds memories there. Those who add share the lock.';
revoke execute on function loci_private.lock_capacity(text, boolean) from public;
