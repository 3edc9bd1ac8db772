create or replace function loci_private.claim_requests(lease uuid)
returns table (queue_id bigint, request_id uuid, request jsonb, config jsonb, member boolean, gateway text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_gateway text := loci.setting('chat_gateway');
    v_health loci_private.model_health;
    v_ids bigint[];
    v_own jsonb;
begin
    select h.* into v_health from loci_private.model_health as h where h.chat_gateway = v_gateway;
    if v_health.cooldown_until > loci_private.now() then
        return;
    end if;
    select array_agg(c.id) into v_ids
    -- After an outage one request tries whether the gateway is back.
    from loci_private.claim('completion_queue', claim_requests.lease,
        case when v_health.outages > 0 then 1 else loci.setting('chat_max_in_flight')::integer end) as c (id);
    v_own := loci_private.prepare_consolidations(v_ids);
    return query
    select q.queue_id, q.request_id, coalesce(v_own -> q.request_id::text, r.request) || jsonb_build_object('request_id', q.request_id),
        loci_private.chat_config(r.organization_id, r.user_id),
        r.user_id is null or r.organization_id is null or exists (
            select from loci.organization_members as m
            where m.organization_id = r.organization_id and m.user_id = r.user_id
        ),
        v_gateway
    from loci_private.completion_queue as q
    join loci_private.requests as r on r.request_id = q.request_id
    where q.queue_id = any(v_ids)
    order by q.queue_id;
end $$;
comment on function loci_private.claim_requests(uuid) is
'Lease the next submitted completions, none while their gateway is left alone. member: whether the user still belongs to the organization.';
revoke execute on function loci_private.claim_requests(uuid) from public;
grant execute on function loci_private.claim_requests(uuid) to loci_worker;
