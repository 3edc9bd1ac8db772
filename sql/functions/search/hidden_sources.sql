create or replace view loci_private.hidden_sources as
select q.source_id
from loci_private.row_queue as q
where q.op in ('truncate', 'resync');
comment on view loci_private.hidden_sources is
'Sources that were truncated or missed changes: nobody may see any of their rows until the drain has compared them with their table.';
