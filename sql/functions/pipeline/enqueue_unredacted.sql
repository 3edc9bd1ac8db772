create or replace function loci_private.enqueue_unredacted(organization_id uuid default null)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    with wanted as materialized (
        select o.organization_id, (loci_private.redaction_of(o.organization_id)).marker
        from loci.organizations as o
        where enqueue_unredacted.organization_id is null or o.organization_id = enqueue_unredacted.organization_id
    )
    insert into loci_private.row_queue (source_id, key, op)
    select r.source_id, r.key, 'upsert'
    from loci_private.source_rows as r
    left join wanted as w on w.organization_id = r.organization_id
    where r.redaction <> coalesce(w.marker, '')
        and (enqueue_unredacted.organization_id is null or w.organization_id is not null)
        and not exists (
            select from loci_private.row_queue as q where q.source_id = r.source_id and q.key = r.key and q.lease is null
        );
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci_private.enqueue_unredacted(uuid) is
'Queue rows that were split under another redaction than the one that is wanted now, of one organization or of all; returns how many.';
revoke execute on function loci_private.enqueue_unredacted(uuid) from public;
