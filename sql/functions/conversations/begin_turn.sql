create or replace function loci.begin_turn(
    conversation_id uuid, content text, options jsonb default '{}', out turn_id uuid, out request jsonb
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_conversation loci.conversations := loci_private.own_conversation(begin_turn.conversation_id);
    v_organization uuid := loci_private.chat_organization(v_conversation.organization_id);
    v_options jsonb := loci_private.turn_options(begin_turn.options);
    v_context jsonb;
    v_turn loci_private.turns;
    v_handed jsonb;
begin
    perform loci_private.check_question(begin_turn.content);
    perform loci_private.check_no_open_turn(v_conversation.conversation_id);
    v_context := loci_private.gather_context(
        v_conversation.conversation_id, v_organization, begin_turn.content, loci.setting('context_tokens')::integer, v_options
    );
    v_turn := loci_private.store_question(
        v_conversation, begin_turn.content, v_context -> 'passages', 'open', loci_private.now()
    );
    -- Last, because what is counted here no rollback takes back.
    v_handed := loci_private.hand_over(
        loci_private.chat_config(v_organization, v_conversation.user_id),
        loci_private.turn_request(v_conversation.conversation_id, v_context, v_options),
        loci.setting('turn_seconds')::float8
    );
    if v_handed ? 'error' then
        perform loci_private.raise_error(v_handed -> 'error');
    end if;
    update loci_private.turns as t
    set call = v_handed -> 'call' || jsonb_build_object('organization_id', v_organization)
    where t.turn_id = v_turn.turn_id;
    begin_turn.turn_id := v_turn.turn_id;
    begin_turn.request := v_handed -> 'request';
end $$;
comment on function loci.begin_turn(uuid, text, jsonb) is
'Store a question, gather what is needed to answer it, check limits and budget, and return the request to send to the gateway, exactly as it is. Commit, send, then loci.finish_turn(): no transaction is open meanwhile. options: sources, scopes, traceparent. LC500 to LC510, LC515 to LC518, LC702 to LC705, LC710.';
revoke execute on function loci.begin_turn(uuid, text, jsonb) from public;
grant execute on function loci.begin_turn(uuid, text, jsonb) to loci_app, loci_admin;
