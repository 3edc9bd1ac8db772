create or replace function loci_private.cool_down(
    model_id integer, seconds double precision, error jsonb, chat_gateway text default null
)
returns table (outages integer, wait double precision)
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    select loci_private.log_event('gateway outage', jsonb_build_object(
        'model_id', cool_down.model_id, 'gateway', cool_down.chat_gateway, 'sqlstate', cool_down.error ->> 'sqlstate',
        'retry_after_seconds', cool_down.seconds
    ))
    where cool_down.error is not null;
    insert into loci_private.model_health as h (model_id, chat_gateway, cooldown_until, outages, error, since)
    select
        cool_down.model_id,
        cool_down.chat_gateway,
        n.now + case
            -- No shorter, lest whoever answers "retry after 0" is asked without a pause.
            when cool_down.seconds is not null then make_interval(secs => greatest(cool_down.seconds, 1))
            when cool_down.error is null then date_trunc('minute', n.now) + interval '1 minute' - n.now
            else least(
                loci_private.backoff(n.outages + 1), make_interval(secs => loci.setting('cooldown_max_seconds')::float8)
            )
        end,
        n.outages + case when cool_down.error is null then 0 else 1 end,
        coalesce(cool_down.error, n.error),
        case when n.outages = 0 then n.now else n.since end
    from (
        select t.now, coalesce(b.outages, 0) as outages, b.error, coalesce(b.since, t.now) as since
        from loci_private.now() as t (now)
        left join loci_private.model_health as b on b.model_id = cool_down.model_id or b.chat_gateway = cool_down.chat_gateway
    ) as n
    on conflict (subject) do update set
    cooldown_until = excluded.cooldown_until, outages = excluded.outages, error = excluded.error, since = excluded.since
    returning h.outages, extract(epoch from h.cooldown_until - loci_private.now())
$$;
comment on function loci_private.cool_down(integer, double precision, jsonb, text) is
'Leave a gateway alone for so many seconds, as far as one embedding model, or chat, uses it (null: longer with each outage in a row; error null: until its minute ends, as only a limit was reached). Returns outages in a row and seconds to wait.';
revoke execute on function loci_private.cool_down(integer, double precision, jsonb, text) from public;
grant execute on function loci_private.cool_down(integer, double precision, jsonb, text) to loci_worker;
