create or replace view loci.memory_stats as
select
    s.kind as level,
    m.memory_type as type,
    count(distinct m.scope_id) as scopes,
    count(*) filter (where m.superseded_at is null) as memories,
    count(*) filter (where m.superseded_at is not null) as superseded,
    count(*) filter (where m.expires_at <= now()) as expired,
    loci.setting('memory_capacity_' || s.kind)::integer as capacity
from loci_private.memories as m
join loci_private.scopes as s on s.scope_id = m.scope_id
group by s.kind, m.memory_type;
comment on view loci.memory_stats is 'How many memories there are by level and type, and the default capacity of a scope of that level; never what they say.';
grant select on loci.memory_stats to loci_admin, loci_monitor;
