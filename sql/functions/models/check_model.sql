create or replace function loci.check_model(name text)
returns table (latency_ms real, dimensions integer, ok boolean, error text)
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    select p.latency_ms, p.dimensions, p.ok, p.error
    from loci_private.model_named(check_model.name) as m
    cross join lateral loci_private.probe_model(loci_private.model_config(m.model_id)) as p
$$;
comment on function loci.check_model(text) is
'Embed one short text with a model, for real: how long it took, how many dimensions came, and what went wrong if it did not work. LC214 unknown model.';
revoke execute on function loci.check_model(text) from public;
grant execute on function loci.check_model(text) to loci_admin, loci_monitor;
