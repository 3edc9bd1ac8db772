create or replace function loci_private.store_answer(turn loci_private.turns, reply text, status text, tokens integer)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_message bigint;
    v_cited jsonb;
begin
    if store_answer.reply ~ '\S' then
        v_cited := loci_private.cited(store_answer.reply, turn.passages);
        insert into loci.messages (conversation_id, role, content, status, token_count, confidence)
        values (
            turn.conversation_id, 'assistant', store_answer.reply, store_answer.status, store_answer.tokens,
            loci_private.confidence(turn.passages, v_cited)
        )
        returning messages.message_id into v_message;
        insert into loci_private.citations (message_id, number, source, key, chunk_id)
        select v_message, p.number, p.source, p.key, p.chunk_id
        from jsonb_to_recordset(v_cited) as p (number integer, source text, key text, chunk_id bigint);
    end if;
    update loci_private.turns as t
    set status = store_answer.status, answer_id = v_message, finished_at = loci_private.now()
    where t.turn_id = turn.turn_id;
    if store_answer.status = 'complete' then
        perform loci_private.note_stage('turn', turn.begun_at);
    end if;
    return v_message;
end $$;
comment on function loci_private.store_answer(loci_private.turns, text, text, integer) is
'End a turn with its answer, if there is one, and the passages it cites. Returns the message.';
revoke execute on function loci_private.store_answer(loci_private.turns, text, text, integer) from public;
