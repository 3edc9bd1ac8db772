create or replace function loci_private.cache_snapshot()
returns pg_snapshot
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_own xid8 := pg_current_xact_id_if_assigned();
    v_snapshot pg_snapshot := pg_current_snapshot();
begin
    -- A snapshot does not list its own transaction as running.
    if v_own is null or v_own >= pg_snapshot_xmax(v_snapshot) then
        return v_snapshot;
    end if;
    return format('%s:%s:%s', least(v_own, pg_snapshot_xmin(v_snapshot)), pg_snapshot_xmax(v_snapshot), (
        select string_agg(r.xid::text, ',' order by r.xid)
        from (select x.xid from pg_snapshot_xip(v_snapshot) as x (xid) union select v_own) as r
    ))::pg_snapshot;
end $$;
comment on function loci_private.cache_snapshot() is
'What is committed now. What this transaction changes itself, before or after, counts as not committed.';
revoke execute on function loci_private.cache_snapshot() from public;
