create or replace view loci.model_indexes as
select
    p.model,
    p.state,
    p.vectors,
    p.waiting,
    p.phase,
    p.percent,
    p.bytes,
    p.statement
from loci_private.index_plan() as p;
comment on view loci.model_indexes is
'The HNSW index of each model. state: not needed (few vectors), waiting (many more are coming), due, building (phase, percent), ready, invalid (a build was interrupted), missing (the table of the vectors itself: see loci.doctor()). pg_cron runs statement when there is one; without pg_cron run it by hand, outside a transaction. Searches compare all visible vectors until it is ready.';
grant select on loci.model_indexes to loci_admin, loci_monitor;
