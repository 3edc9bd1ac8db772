create or replace function loci.retry_turn(turn_id uuid, usage jsonb default '{}')
returns text
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_turn loci_private.turns := loci_private.own_turn(retry_turn.turn_id);
    v_handed jsonb;
begin
    if v_turn.status <> 'open' or v_turn.call is null then
        raise exception 'the turn is finished already'
            using errcode = 'LC708', detail = format('It is %s.', v_turn.status), hint = 'Its answer is in loci.messages.';
    end if;
    perform loci_private.settle_turn(v_turn, null, loci_private.usage_object(retry_turn.usage), 'failed');
    v_handed := loci_private.hand_over_again(
        loci_private.chat_config((v_turn.call ->> 'organization_id')::uuid, v_turn.user_id),
        v_turn.call, loci.setting('turn_seconds')::float8
    );
    if v_handed ? 'error' then
        perform loci_private.raise_error(v_handed -> 'error');
    end if;
    if jsonb_typeof(v_handed -> 'call') = 'object' then
        update loci_private.turns as t set call = v_handed -> 'call' where t.turn_id = v_turn.turn_id;
    end if;
    return v_handed #>> '{call,model}';
end $$;
comment on function loci.retry_turn(uuid, jsonb) is
'The model of a turn has failed: the fallback model to send the same request to, checked and counted as the first one was; null when there is none, or it was that one. usage as in loci.finish_turn(), of the call that failed. LC505 to LC510, LC707, LC708.';
revoke execute on function loci.retry_turn(uuid, jsonb) from public;
grant execute on function loci.retry_turn(uuid, jsonb) to loci_app, loci_admin;
