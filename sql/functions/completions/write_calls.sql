create or replace function loci_private.write_calls(calls jsonb)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_written uuid[];
    v_call record;
begin
    -- One drain at a time: the others have their own work to do.
    if not pg_try_advisory_xact_lock(hashtext('loci ledger'), 0) then
        return null;
    end if;
    perform loci_private.add_call_partition(m.month)
    from (
        select distinct date_trunc('month', to_timestamp((c.call ->> 'called_at')::float8) at time zone 'UTC')::date as month
        from jsonb_array_elements(write_calls.calls) as c (call)
    ) as m;
    with written as (
        insert into loci_private.calls (
            call_id, request_id, called_at, organization_id, user_id, purpose, gateway, model, fallback, status, sqlstate,
            tokens_in, tokens_out, cost_usd, cost_estimated, latency_ms, trace_id
        )
        select
            c.call_id, c.request_id, to_timestamp(c.called_at), c.organization_id,
            case when not loci_private.is_forgotten(c.user_id) then c.user_id end, c.purpose, c.gateway, c.model,
            c.fallback, c.status, c.sqlstate, c.tokens_in, c.tokens_out, c.cost_usd, c.cost_estimated, c.latency_ms, c.trace_id
        from jsonb_to_recordset(write_calls.calls) as c (
            call_id uuid, request_id uuid, called_at double precision, organization_id uuid, user_id uuid, purpose text,
            gateway text, model text, fallback boolean, status text, sqlstate text, tokens_in integer, tokens_out integer,
            cost_usd numeric, cost_estimated boolean, latency_ms integer, trace_id text
        )
        on conflict do nothing
        returning call_id, organization_id, called_at, cost_usd
    ), spent as (
        insert into loci_private.spending as s (organization_id, month, cost_usd)
        select w.organization_id, date_trunc('month', w.called_at at time zone 'UTC')::date, sum(w.cost_usd)
        from written as w
        where w.organization_id is not null and w.cost_usd > 0
        group by 1, 2
        on conflict (organization_id, month) do update set cost_usd = s.cost_usd + excluded.cost_usd
    )
    select coalesce(array_agg(w.call_id), '{}') into v_written from written as w;
    perform loci_private.count_calls(v_written);
    if loci.setting('log_events') = 'true' then
        for v_call in select c.* from loci_private.calls as c where c.call_id = any(v_written) loop
            perform loci_private.log_event('call', jsonb_build_object(
                'call_id', v_call.call_id, 'request_id', v_call.request_id, 'trace_id', v_call.trace_id, 'model', v_call.model,
                'gateway', v_call.gateway, 'fallback', v_call.fallback, 'status', v_call.status, 'sqlstate', v_call.sqlstate,
                'latency_ms', v_call.latency_ms, 'called_at', v_call.called_at
            ));
        end loop;
    end if;
    return cardinality(v_written);
end $$;
comment on function loci_private.write_calls(jsonb) is
'Enter metered calls in the ledger, those that are in it already left out. Null when another session is just doing so.';
revoke execute on function loci_private.write_calls(jsonb) from public;
grant execute on function loci_private.write_calls(jsonb) to loci_worker;
