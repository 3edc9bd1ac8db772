create or replace function loci_private.is_marked(row_id bigint)
returns boolean
language sql stable parallel safe
as $$
    select exists (
        select from loci_private.source_rows as r
        join loci_private.row_queue as q
            on q.source_id = r.source_id and q.key in (r.key, '') and q.queue_id > r.placed_version
                and q.op in ('place', 'truncate', 'resync') and (q.key = r.key or q.op <> 'place')
        where r.row_id = is_marked.row_id
    )
$$;
comment on function loci_private.is_marked(bigint) is
'A row that was deleted or moved and whose chunks do not show it yet: nobody may see it until the drain has.';
revoke execute on function loci_private.is_marked(bigint) from public;
