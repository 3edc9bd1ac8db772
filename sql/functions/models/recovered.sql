create or replace function loci_private.recovered(model_id integer, chat_gateway text default null)
returns boolean
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    select loci_private.log_event('gateway recovered', jsonb_build_object(
        'model_id', h.model_id, 'gateway', h.chat_gateway, 'outages', h.outages, 'since', h.since
    ))
    from loci_private.model_health as h
    where (h.model_id = recovered.model_id or h.chat_gateway = recovered.chat_gateway) and h.outages > 0;
    with gone as (
        delete from loci_private.model_health as h
        where h.model_id = recovered.model_id or h.chat_gateway = recovered.chat_gateway
        returning h.outages
    )
    select coalesce(bool_or(g.outages > 0), false) from gone as g
$$;
comment on function loci_private.recovered(integer, text) is 'The gateway of a model, or of chat, works. True if it did not before.';
revoke execute on function loci_private.recovered(integer, text) from public;
grant execute on function loci_private.recovered(integer, text) to loci_worker;
