create or replace function loci_private.metric_kind(metric text)
returns text
language sql immutable parallel safe
begin atomic
    select coalesce(
        (select f.kind from loci_private.metric_families() as f where f.metric = metric_kind.metric),
        case
            when metric_kind.metric like '%\_total' then 'counter'
            when metric_kind.metric ~ '_(ms|seconds|bytes)$' then 'histogram'
            else 'gauge'
        end
    );
end;
comment on function loci_private.metric_kind(text) is
'What a metric is, by its name: ..._total counts; ..._ms, ..._seconds and ..._bytes are histograms; anything else is a gauge.';
revoke execute on function loci_private.metric_kind(text) from public;
