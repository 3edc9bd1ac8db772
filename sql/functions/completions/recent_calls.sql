create or replace function loci.recent_calls()
returns setof loci_private.calls
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_all boolean := loci.sees_all_calls();
    v_organizations uuid[] := loci.managed_organizations();
begin
    return query
    select c.call_id, c.request_id, to_timestamp(c.called_at), c.organization_id, c.user_id, c.purpose, c.gateway, c.model,
        c.fallback, c.status, c.sqlstate, c.tokens_in, c.tokens_out, c.cost_usd, c.cost_estimated, c.latency_ms, c.trace_id
    from loci_private.metered_calls(loci_private.epoch()) as m (call)
    cross join lateral jsonb_to_record(m.call) as c (
        call_id uuid, request_id uuid, called_at double precision, organization_id uuid, user_id uuid, purpose text,
        gateway text, model text, fallback boolean, status text, sqlstate text, tokens_in integer, tokens_out integer,
        cost_usd numeric, cost_estimated boolean, latency_ms integer, trace_id text
    )
    where (v_all or c.organization_id = any(v_organizations))
        and not exists (
            select from loci_private.calls as w where w.call_id = c.call_id and w.called_at = to_timestamp(c.called_at)
        );
end $$;
comment on function loci.recent_calls() is
'The part of loci.calls that the drain has not written down yet, calls under way included: rows that the caller may see.';
revoke execute on function loci.recent_calls() from public;
grant execute on function loci.recent_calls() to loci_app, loci_admin, loci_monitor;
