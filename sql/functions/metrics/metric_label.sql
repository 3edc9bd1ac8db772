create or replace function loci_private.metric_label(labels jsonb, le text default null)
returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce('{' || string_agg(
        format('%s="%s"', l.key, replace(replace(replace(l.value, '\', '\\'), '"', '\"'), e'\n', '\n')), ',' order by l.n, l.key
    ) || '}', '')
    from (
        select e.key, e.value, 1 as n from jsonb_each_text(metric_label.labels) as e
        union all
        select 'le', metric_label.le, 2 where metric_label.le is not null
    ) as l
$$;
comment on function loci_private.metric_label(jsonb, text) is 'Labels as Prometheus reads them, escaped. le: the bound of a bucket.';
revoke execute on function loci_private.metric_label(jsonb, text) from public;
