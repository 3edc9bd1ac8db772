create or replace function loci_private.count_observations(observations loci_private.observations [])
returns void
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    with added as (
        select o.metric, o.labels, bool_or(o.own) as own, count(*) as observed, sum(o.value) as total,
            (array_agg(o.value order by o.observation_id desc))[1] as last_value
        from unnest(count_observations.observations) as o
        group by o.metric, o.labels
    ), numbered as (
        select a.*, s.metric is not null as known,
            row_number() over (partition by a.own, s.metric is null order by a.metric, a.labels) as n
        from added as a
        left join loci_private.metric_series as s on s.metric = a.metric and s.labels = a.labels
    ), kept as (
        select n.*
        from numbered as n
        where n.known or n.own or n.n <= loci.setting('metric_series_max')::integer - (
            select count(*) from loci_private.metric_series as s where not s.own
        )
    ), bounds as materialized (
        select m.metric, b.bound, b.n
        from (select distinct a.metric from added as a) as m
        cross join unnest(loci_private.metric_bounds(m.metric)) with ordinality as b (bound, n)
    ), counts as (
        select o.metric, o.labels, b.n, count(*) filter (where o.value <= b.bound) as below
        from unnest(count_observations.observations) as o
        join bounds as b on b.metric = o.metric
        group by o.metric, o.labels, b.n
    ), buckets as (
        select c.metric, c.labels, array_agg(c.below order by c.n) as counts from counts as c group by c.metric, c.labels
    ), dropped as (
        select sum(n.observed) as observed from numbered as n
        where not exists (select from kept as k where k.metric = n.metric and k.labels = n.labels)
    ), changes as (
        select k.metric, k.labels, k.own, k.observed, k.total, k.last_value, coalesce(b.counts, '{}') as counts
        from kept as k
        left join buckets as b on b.metric = k.metric and b.labels = k.labels
        union all
        select 'observations_dropped_total', '{}', true, d.observed, d.observed, d.observed, '{}'
        from dropped as d
        where d.observed > 0
    )
    insert into loci_private.metric_series as s (metric, labels, own, observed, total, last_value, buckets)
    select c.metric, c.labels, c.own, c.observed, c.total, c.last_value, c.counts
    from changes as c
    -- Two that count at the same time wait for each other in one order.
    order by c.metric, c.labels
    on conflict (metric, labels) do update set
    observed = s.observed + excluded.observed,
    total = s.total + excluded.total,
    last_value = excluded.last_value,
    buckets = coalesce((
        select array_agg(coalesce(u.old, 0) + coalesce(u.new, 0) order by u.n)
        from unnest(s.buckets, excluded.buckets) with ordinality as u (old, new, n)
    ), '{}')
$$;
comment on function loci_private.count_observations(loci_private.observations []) is
'Add observations to their series. Of applications'' new series no more than metric_series_max come about; what is beyond is counted as dropped.';
revoke execute on function loci_private.count_observations(loci_private.observations []) from public;
