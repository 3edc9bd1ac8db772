create or replace function loci.metrics()
returns text
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_text text;
begin
    -- What was observed up to now; where nothing may be written, as the last drain left it.
    while loci_private.fold_observations() > 0 loop null; end loop;
    with series as (
        select s.metric, s.labels, loci_private.metric_kind(s.metric) as kind, s.observed, s.total, s.last_value, s.buckets
        from loci_private.metric_series as s
        where s.metric <> 'llm_cost_usd_total'
    ), lines as (
        select s.metric, s.labels, 1 as part, 0::bigint as n,
            format(
                '%s%s %s', s.metric, loci_private.metric_label(s.labels), case s.kind when 'gauge' then s.last_value else s.total end
            ) as line
        from series as s
        where s.kind <> 'histogram'
        union all
        select s.metric, s.labels, 1, b.n,
            format('%s_bucket%s %s', s.metric, loci_private.metric_label(s.labels, b.bound::text), b.below)
        from series as s
        cross join unnest(loci_private.metric_bounds(s.metric), s.buckets) with ordinality as b (bound, below, n)
        where s.kind = 'histogram'
        union all
        select s.metric, s.labels, p.part, 0,
            format('%s_%s %s', s.metric, p.suffix || loci_private.metric_label(s.labels, p.le), p.value)
        from series as s
        cross join lateral (
            values (2, 'bucket', '+Inf', s.observed::double precision), (3, 'sum', null, s.total), (4, 'count', null, s.observed)
        ) as p (part, suffix, le, value)
        where s.kind = 'histogram'
        union all
        select m.metric, m.labels, 1, 0, format('%s%s %s', m.metric, loci_private.metric_label(m.labels), m.value)
        from loci_private.metric_samples() as m
    ), families as (
        select coalesce(f.metric, l.metric) as metric, f.metric is null as foreign_born,
            coalesce(f.help, 'Observed by an application.') as help,
            string_agg(l.line || e'\n', '' order by l.labels, l.part, l.n) as lines
        from lines as l
        full join loci_private.metric_families() as f on f.metric = l.metric
        group by coalesce(f.metric, l.metric), f.metric, f.help
    )
    select string_agg(
        format(e'# HELP %s %s\n# TYPE %s %s\n%s', f.metric, f.help, f.metric, loci_private.metric_kind(f.metric), f.lines),
        '' order by f.foreign_born, f.metric
    ) into v_text
    from families as f;
    return v_text;
end $$;
comment on function loci.metrics() is
'Everything that is measured, as Prometheus reads it (text format 0.0.4). Calls of chat models and embeddings are in it as soon as a drain has entered them.';
revoke execute on function loci.metrics() from public;
grant execute on function loci.metrics() to loci_admin, loci_monitor;
