create or replace function loci_private.cool_down(
    model_id integer, seconds double precision, error jsonb, chat_gateway text default null
)
returns table (outages integer, wait double precision)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := loci_private.now();
begin
    if cool_down.error is not null then
        perform loci_private.log_event('gateway outage', jsonb_build_object(
            'model_id', cool_down.model_id, 'gateway', cool_down.chat_gateway, 'sqlstate', cool_down.error ->> 'sqlstate',
            'retry_after_seconds', cool_down.seconds
        ));
    end if;
    -- Whatever is unique, somebody else may be noting the same gateway just now; what they noted is gone on from.
    loop
        return query
        update loci_private.model_health as h
        set cooldown_until = v_now + case
                -- No shorter, lest whoever answers "retry after 0" is asked without a pause.
                when cool_down.seconds is not null then make_interval(secs => greatest(cool_down.seconds, 1))
                when cool_down.error is null then date_trunc('minute', v_now) + interval '1 minute' - v_now
                else least(
                    loci_private.backoff(h.outages + 1), make_interval(secs => loci.setting('cooldown_max_seconds')::float8)
                )
            end,
            outages = h.outages + case when cool_down.error is null then 0 else 1 end,
            error = coalesce(cool_down.error, h.error),
            since = case when h.outages = 0 then v_now else h.since end
        where h.model_id = cool_down.model_id or h.chat_gateway = cool_down.chat_gateway
        returning h.outages, extract(epoch from h.cooldown_until - v_now)::float8;
        exit when found;
        insert into loci_private.model_health (model_id, chat_gateway, cooldown_until, since)
        values (cool_down.model_id, cool_down.chat_gateway, v_now, v_now)
        on conflict do nothing;
    end loop;
end $$;
comment on function loci_private.cool_down(integer, double precision, jsonb, text) is
'Leave a gateway alone for so many seconds, as far as one embedding model, or chat, uses it (null: longer with each outage in a row; error null: until its minute ends, as only a limit was reached). Returns outages in a row and seconds to wait.';
revoke execute on function loci_private.cool_down(integer, double precision, jsonb, text) from public;
grant execute on function loci_private.cool_down(integer, double precision, jsonb, text) to loci_worker;
