create or replace view loci.cache_stats as
select
    c.kind,
    c.entries,
    c.bytes,
    c.hits,
    c.misses,
    c.evictions,
    round(c.hits::numeric / nullif(c.hits + c.misses, 0), 3) as hit_rate
from loci_private.cache_counts() as c;
comment on view loci.cache_stats is
'What each cache holds, and how often it had the answer, since the server crashed last. Settings: cache_<kind>_seconds, cache_<kind>_entries. Empty on a standby.';
grant select on loci.cache_stats to loci_admin, loci_monitor;
