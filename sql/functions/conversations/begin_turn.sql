create or replace function loci.begin_turn(
    conversation_id uuid, content text, options jsonb default '{}', out turn_id uuid, out request jsonb
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_conversation loci.conversations := loci_private.own_conversation(begin_turn.conversation_id);
    v_context jsonb;
    v_question bigint;
    v_turn uuid;
begin
    if begin_turn.content is null or begin_turn.content !~ '\S' then
        raise exception 'the question is empty' using errcode = 'LC703', hint = 'Pass it as text.';
    end if;
    perform loci_private.close_turns(v_conversation.conversation_id);
    -- Told before anything is paid for, and again by the index where two begin at the same time.
    if exists (
        select from loci_private.turns as t where t.conversation_id = v_conversation.conversation_id and t.status = 'open'
    ) then
        raise exception 'the conversation waits for an answer already'
            using errcode = 'LC705', detail = 'Its last turn is open.',
            hint = 'Finish it with loci.finish_turn(), or wait: it is closed after the setting turn_seconds.';
    end if;
    v_context := loci_private.gather_context(
        v_conversation.conversation_id, v_conversation.organization_id, begin_turn.content,
        loci.setting('context_tokens')::integer
    );
    insert into loci.messages (conversation_id, role, content)
    values (v_conversation.conversation_id, 'user', begin_turn.content)
    returning messages.message_id into v_question;
    insert into loci_private.turns (conversation_id, user_id, question_id, status, passages, relevance, begun_at)
    values (
        v_conversation.conversation_id, v_conversation.user_id, v_question, 'open', v_context -> 'passages',
        (v_context ->> 'relevance')::real, loci_private.now()
    )
    on conflict (conversation_id) where status = 'open' do nothing
    returning turns.turn_id into v_turn;
    if v_turn is null then
        raise exception 'the conversation waits for an answer already'
            using errcode = 'LC705', detail = 'Another session has just begun a turn.',
            hint = 'Finish it with loci.finish_turn(), or wait: it is closed after the setting turn_seconds.';
    end if;
    begin_turn.turn_id := v_turn;
    begin_turn.request := loci_private.turn_request(v_conversation.organization_id, v_context -> 'messages', v_turn);
end $$;
comment on function loci.begin_turn(uuid, text, jsonb) is
'Store a question, gather what is needed to answer it, and return the request to send to the model, exactly as it is. loci.finish_turn() takes the answer. LC702 to LC705.';
revoke execute on function loci.begin_turn(uuid, text, jsonb) from public;
grant execute on function loci.begin_turn(uuid, text, jsonb) to loci_app, loci_admin;
