create or replace function loci_private.store_question(
    conversation loci.conversations, content text, passages jsonb, status text, asked_at timestamptz
)
returns loci_private.turns
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_turn loci_private.turns;
begin
    insert into loci.messages (conversation_id, role, content)
    values (conversation.conversation_id, 'user', store_question.content)
    returning messages.message_id into v_turn.question_id;
    -- The index says who is first where two begin at the same time.
    insert into loci_private.turns (conversation_id, user_id, question_id, status, passages, begun_at)
    values (
        conversation.conversation_id, conversation.user_id, v_turn.question_id, store_question.status, store_question.passages,
        store_question.asked_at
    )
    on conflict (conversation_id) where turns.status = 'open' do nothing
    returning turns.* into v_turn;
    if v_turn.turn_id is null then
        raise exception 'the conversation waits for an answer already'
            using errcode = 'LC705', detail = 'Another session has just begun a turn.',
            hint = 'Finish it with loci.finish_turn(), or wait: it is closed after the setting turn_seconds.';
    end if;
    return v_turn;
end $$;
comment on function loci_private.store_question(loci.conversations, text, jsonb, text, timestamptz) is
'Store a question and the turn that it begins. LC705 where another turn has just been begun.';
revoke execute on function loci_private.store_question(loci.conversations, text, jsonb, text, timestamptz) from public;
