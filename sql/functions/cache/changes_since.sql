create or replace function loci_private.changes_since(snapshot pg_snapshot, scopes uuid [])
returns setof xid8
language sql stable parallel restricted
begin atomic
    select c.xid
    from loci_private.changes as c
    where c.scope_id = any(scopes || uuid '00000000-0000-0000-0000-000000000000')
        and c.xid >= pg_snapshot_xmin(snapshot) and not pg_visible_in_snapshot(c.xid, snapshot)
    union all
    select m.xid
    from (
        select q.xid, q.source_id, q.key, row_number() over () as n
        from loci_private.row_queue as q
        where q.op in ('place', 'truncate', 'resync')
            and q.xid >= pg_snapshot_xmin(snapshot) and not pg_visible_in_snapshot(q.xid, snapshot)
        limit 100
    ) as m
    -- Where many rows are marked, searching again is quicker than asking whose they are.
    where m.n = 100 or m.key = '' or exists (
        select from loci_private.source_rows as r
        where r.source_id = m.source_id and r.key = m.key and r.scope_id = any(scopes)
    );
end;
comment on function loci_private.changes_since(pg_snapshot, uuid []) is
'Transactions committed since this snapshot that could change what a search in these scopes finds. Written to be inlined.';
revoke execute on function loci_private.changes_since(pg_snapshot, uuid []) from public;
