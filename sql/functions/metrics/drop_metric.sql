create or replace function loci.drop_metric(metric text)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    delete from loci_private.metric_series as s where s.metric = drop_metric.metric and not s.own;
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci.drop_metric(text) is
'Forget the series that applications made of a metric; returns how many. They begin anew when they are observed again.';
revoke execute on function loci.drop_metric(text) from public;
grant execute on function loci.drop_metric(text) to loci_admin;
