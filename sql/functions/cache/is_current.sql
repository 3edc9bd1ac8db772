create or replace function loci_private.is_current(snapshot pg_snapshot, scopes uuid [])
returns boolean
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_oldest constant xid8 := pg_snapshot_xmin(is_current.snapshot);
begin
    if exists (
        select from loci_private.changes as c
        where c.scope_id = any(is_current.scopes || uuid '00000000-0000-0000-0000-000000000000') and c.xid >= v_oldest
            and not pg_visible_in_snapshot(c.xid, is_current.snapshot)
    ) then
        return false;
    end if;
    return (
        -- Where many rows are marked, searching again is quicker than asking whose they are.
        select count(*) < 100 and coalesce(bool_and(
            m.key <> '' and not exists (
                select from loci_private.source_rows as r
                where r.source_id = m.source_id and r.key = m.key and r.scope_id = any(is_current.scopes)
            )
        ), true)
        from (
            select q.source_id, q.key
            from loci_private.row_queue as q
            where q.op in ('place', 'truncate', 'resync') and q.xid >= v_oldest
                and not pg_visible_in_snapshot(q.xid, is_current.snapshot)
            limit 100
        ) as m
    );
end $$;
comment on function loci_private.is_current(pg_snapshot, uuid []) is
'Whether nothing was committed since this snapshot that could change what a search in these scopes finds.';
revoke execute on function loci_private.is_current(pg_snapshot, uuid []) from public;
