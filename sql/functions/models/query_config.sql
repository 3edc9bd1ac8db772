create or replace function loci_private.query_config(model_id integer)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_config jsonb := loci_private.model_config(query_config.model_id);
    v_health loci_private.model_health;
begin
    select h.* into v_health
    from loci_private.model_health as h
    -- One that only asked to slow down can answer a question.
    where h.model_id = query_config.model_id and h.outages > 0 and h.error ->> 'sqlstate' is distinct from 'LC401';
    if not found then
        return v_config;
    end if;
    if v_health.cooldown_until > loci_private.now() then
        raise exception 'the gateway of model "%" is out of order', v_config ->> 'name'
            using errcode = 'LC409',
            detail = format('It is tried again after %s. The last error was %s: %s.',
                date_trunc('second', v_health.cooldown_until), v_health.error ->> 'sqlstate', v_health.error ->> 'message'),
            hint = 'select * from loci.failures shows what it said; loci.search() finds words meanwhile.';
    end if;
    -- It may be well again, but nobody is to wait long to find out.
    return jsonb_set(
        v_config, '{gateway,timeout_seconds}',
        to_jsonb(least((v_config #>> '{gateway,timeout_seconds}')::integer, 2)), false
    );
end $$;
comment on function loci_private.query_config(integer) is
'Configuration of a model for somebody who waits for the answer: LC409 at once while its gateway is known to be out of order.';
revoke execute on function loci_private.query_config(integer) from public;
