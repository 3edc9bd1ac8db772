create or replace function loci_private.doctor_models()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select 'warning', 'models', coalesce(m.name, 'chat over ' || h.chat_gateway),
        format('its gateway failed %s times since %s and is left alone until %s: %s (%s)', h.outages, date_trunc('second', h.since),
            date_trunc('second', h.cooldown_until), left(h.error ->> 'message', 200), h.error ->> 'sqlstate'),
        -- Said again it is asked again at once.
        format(
            'select loci.add_gateway(%L, %L, api_key_ref => %L, max_concurrency => %s, requests_per_minute => %s, timeout_seconds => %s);',
            g.gateway, g.base_url, g.api_key_ref, g.max_concurrency, g.requests_per_minute, g.timeout_seconds
        )
    from loci_private.model_health as h
    left join loci.embedding_models as m on m.model_id = h.model_id
    join loci_private.gateways as g on g.gateway = coalesce(m.gateway, h.chat_gateway)
    where h.outages > 0;
    return query
    select 'warning', 'models', m.name,
        format('the model failed %s times since %s: %s (%s)', h.outages, date_trunc('second', h.since),
            left(h.error ->> 'message', 200), h.error ->> 'sqlstate'),
        format('select * from loci.check_model(%L);', m.name)
    from loci_private.model_health as h
    join loci.embedding_models as m on m.model_id = h.model_id
    where h.outages > 0 and m.gateway is null;
    return query
    select 'error', 'models', m.name, format('its gateway "%s" has no address', m.gateway),
        format('select loci.add_gateway(%L, ''https://gateway.example/v1'', api_key_ref => ''file:/etc/loci/gateway.key'');', m.gateway)
    from loci.embedding_models as m
    join loci_private.gateways as g on g.gateway = m.gateway
    where g.base_url is null and exists (
        select from loci_private.model_assignments as a where m.model_id in (a.active_model, a.target_model)
    );
    return query
    select 'error', 'models', m.name, format('it has %s dimensions, the table of its vectors %s', m.dimensions, a.atttypmod),
        format('select loci.drop_embedding_model(%L);   -- after loci.use_embedding_model() of another', m.name)
    from loci.embedding_models as m
    join pg_attribute as a
        on a.attrelid = to_regclass(format('loci_private.%I', loci_private.model_table(m.model_id))) and a.attname = 'embedding'
    where a.atttypmod <> m.dimensions;
    return query
    select 'error', 'models', coalesce(o.name, 'default'), 'no model is in use: search finds by words only',
        format('select loci.use_embedding_model(%L);', t.name)
    from loci_private.model_assignments as a
    left join loci.organizations as o on o.organization_id = a.organization_id
    left join loci.embedding_models as t on t.model_id = a.target_model
    where a.active_model is null and exists (select from loci_private.chunks as c limit 1);
end $$;
comment on function loci_private.doctor_models() is
'What loci.doctor() has to say about models: gateways that fail or have no address, dimensions that do not fit. Nothing is asked over the network.';
revoke execute on function loci_private.doctor_models() from public;
