create or replace view loci_private.hidden_rows as
select r.row_id
from loci_private.row_queue as q
join loci_private.source_rows as r on r.source_id = q.source_id and r.key = q.key
where q.op = 'place' and q.queue_id > r.placed_version;
comment on view loci_private.hidden_rows is
'Rows that were deleted or moved and whose chunks do not show it yet: nobody may see them until the drain has worked off their mark.';
