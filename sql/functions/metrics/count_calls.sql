create or replace function loci_private.count_calls(call_ids uuid [])
returns void
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    with calls as (
        select c.*,
            -- What an application calls its purposes could be anything, and any number of them.
            'loci.' || case
                when c.purpose in ('general', 'ask', 'chat', 'consolidation', 'control') then c.purpose else 'other'
            end as node,
            (select f.model from loci_private.calls as f
            where f.request_id = c.request_id and not f.fallback
                and f.called_at between c.called_at - interval '1 hour' and c.called_at
            order by f.called_at desc limit 1) as instead_of
        from loci_private.calls as c
        where c.call_id = any(count_calls.call_ids)
    ), observations as (
        select o.metric, o.labels, o.value
        from calls as c
        cross join lateral (
            values
            ('requests_total', jsonb_build_object('agent', 'loci', 'node', c.node), 1),
            ('node_latency_ms', jsonb_build_object('node', c.node), c.latency_ms),
            ('rag_latency_ms', '{"stage": "model"}', case when c.purpose in ('chat', 'ask') and c.status = 'ok' then c.latency_ms end),
            ('llm_failures_total', jsonb_build_object('component', c.node), case when c.status in ('error', 'lost') then 1 end),
            (
                'routing_fallbacks_total',
                jsonb_build_object('from_agent', 'loci.' || coalesce(c.instead_of, 'unknown'), 'to_agent', 'loci.' || c.model),
                case when c.fallback then 1 end
            ),
            ('llm_cost_usd_total', jsonb_build_object('model', c.model), c.cost_usd),
            ('llm_tokens_total', jsonb_build_object('model', c.model, 'type', 'input'), c.tokens_in),
            ('llm_tokens_total', jsonb_build_object('model', c.model, 'type', 'output'), c.tokens_out)
        ) as o (metric, labels, value)
        where o.value is not null
    )
    select loci_private.count_observations(
        array_agg(row(row_number, o.metric, o.labels, o.value::double precision, true)::loci_private.observations)
    )
    from (select row_number() over () as row_number, x.* from observations as x) as o
    having count(*) > 0
$$;
comment on function loci_private.count_calls(uuid []) is 'Count calls that were just entered in the ledger.';
revoke execute on function loci_private.count_calls(uuid []) from public;
