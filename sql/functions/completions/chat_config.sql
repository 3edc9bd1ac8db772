create or replace function loci_private.chat_config(organization_id uuid, user_id uuid)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
    v_organization loci.organizations;
    v_gateway jsonb;
    v_models text[];
begin
    select o.* into v_organization from loci.organizations as o where o.organization_id = chat_config.organization_id;
    select jsonb_build_object(
        'gateway', g.gateway, 'base_url', g.base_url, 'api_key_ref', coalesce(v_organization.api_key_ref, g.api_key_ref),
        'max_concurrency', g.max_concurrency, 'timeout_seconds', g.timeout_seconds,
        'requests_per_minute', g.requests_per_minute
    ) into strict v_gateway
    from loci_private.gateways as g
    where g.gateway = loci.setting('chat_gateway');
    v_models := array_remove(array[
        coalesce(nullif(btrim(v_organization.chat_model), ''), loci.setting('chat_model')),
        coalesce(nullif(btrim(v_organization.fallback_model), ''), loci.setting('chat_fallback_model'))
    ], null);
    -- A model is not its own fallback.
    if v_models[1] = v_models[2] then
        v_models := v_models[1:1];
    end if;
    return jsonb_build_object(
        'models', v_models,
        'parameters', jsonb_build_object(
            'temperature', loci.setting('chat_temperature')::numeric,
            'max_tokens', loci.setting('chat_max_tokens')::integer,
            'top_p', loci.setting('chat_top_p')::numeric
        ),
        'gateway', v_gateway - 'requests_per_minute',
        'limits', jsonb_build_object(
            'requests_per_minute', v_gateway -> 'requests_per_minute',
            'max_in_flight', loci.setting('chat_max_in_flight')::integer,
            'user_requests_per_minute', loci.setting('chat_user_requests_per_minute')::integer,
            'organization_requests_per_minute', loci.setting('chat_organization_requests_per_minute')::integer,
            'budget_usd', v_organization.budget_usd_month,
            'spent_usd', coalesce((
                select s.cost_usd from loci_private.spending as s
                where s.organization_id = chat_config.organization_id
                    and s.month = date_trunc('month', v_now at time zone 'UTC')::date
            ), 0)
        ),
        'now', extract(epoch from v_now),
        'organization_id', chat_config.organization_id,
        'user_id', chat_config.user_id,
        'prices', (
            select coalesce(jsonb_object_agg(p.model, jsonb_build_array(p.input_usd, p.output_usd)), '{}')
            from loci.model_prices as p
            where p.model = any(v_models)
        ),
        -- What any organization wants hidden that the user's texts may come from.
        'redaction', (
            select coalesce(jsonb_agg(distinct p.pattern), '[]')
            from (
                select chat_config.organization_id as organization_id
                union
                select m.organization_id from loci.organization_members as m where m.user_id = chat_config.user_id
            ) as o
            cross join lateral loci_private.redaction_of(o.organization_id) as r
            cross join lateral jsonb_array_elements(r.patterns) as p (pattern)
        ),
        'keep_texts', loci.setting('chat_keep_texts') in ('true', 'on'),
        'max_bytes', loci.setting('chat_max_bytes')::integer
    );
end $$;
comment on function loci_private.chat_config(uuid, uuid) is
'Everything that decides how a chat model is asked for this organization and user: models, parameters, gateway (its key by reference), limits, prices, redaction. Nothing of it is the caller''s choice.';
revoke execute on function loci_private.chat_config(uuid, uuid) from public;
grant execute on function loci_private.chat_config(uuid, uuid) to loci_worker;
