create or replace function loci_private.settle_turn(turn loci_private.turns, reply text, usage jsonb, status text)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_error jsonb;
begin
    if turn.call is null then
        return;
    end if;
    v_error := loci_private.settle(
        loci_private.chat_config((turn.call ->> 'organization_id')::uuid, turn.user_id),
        turn.call,
        jsonb_build_object(
            'status', settle_turn.status, 'content', settle_turn.reply,
            'seconds', extract(epoch from loci_private.now() - turn.begun_at),
            -- An application says what the gateway told it. A login that is a user could say anything: the estimate counts.
            'usage', case
                when pg_has_role(session_user, 'loci_admin', 'member') or not exists (
                    select from loci.users as u where u.user_id = turn.user_id and u.db_role = session_user
                ) then settle_turn.usage
                else '{}'
            end
        )
    );
    if v_error is not null then
        raise warning 'what the answer cost is not on record: %', v_error ->> 'message'
            using errcode = v_error ->> 'sqlstate', detail = coalesce(v_error ->> 'detail', '');
    end if;
end $$;
comment on function loci_private.settle_turn(loci_private.turns, text, jsonb, text) is
'Enter what the answer of a turn used, as far as somebody else asked the model for it.';
revoke execute on function loci_private.settle_turn(loci_private.turns, text, jsonb, text) from public;
