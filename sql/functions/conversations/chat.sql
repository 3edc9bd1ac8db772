create or replace function loci.chat(
    conversation_id uuid,
    content text,
    options jsonb default '{}',
    raise_error boolean default true,
    out reply text,
    out citations jsonb,
    out confidence real,
    out proposals jsonb,
    out usage jsonb,
    out message_id bigint,
    out error jsonb
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_conversation loci.conversations := loci_private.own_conversation(chat.conversation_id);
    v_organization uuid := loci_private.chat_organization(v_conversation.organization_id);
    v_options jsonb := loci_private.turn_options(chat.options);
    v_begun timestamptz := loci_private.now();
    v_context jsonb;
    v_result jsonb;
    v_turn loci_private.turns;
    v_status text;
begin
    perform loci_private.check_question(chat.content);
    perform loci_private.check_no_open_turn(v_conversation.conversation_id);
    v_context := loci_private.gather_context(
        v_conversation.conversation_id, v_organization, chat.content, loci.setting('context_tokens')::integer, v_options
    );
    v_result := loci_private.complete_for(
        v_organization, v_conversation.user_id,
        loci_private.turn_request(v_conversation.conversation_id, v_context, v_options), chat.raise_error
    );
    -- Written after the call, so that no row is locked while a model thinks.
    v_status := case v_result ->> 'status' when 'ok' then 'complete' else 'failed' end;
    v_turn := loci_private.store_question(v_conversation, chat.content, v_context -> 'passages', v_status, v_begun);
    chat.message_id := loci_private.store_answer(
        v_turn, v_result ->> 'content', v_status, (v_result #>> '{usage,tokens_out}')::integer
    );
    perform loci_private.propose_calls(v_turn.turn_id, v_conversation.conversation_id, v_result -> 'tool_calls');
    chat.reply := v_result ->> 'content';
    chat.usage := v_result -> 'usage'
        || jsonb_build_object('model', v_result -> 'model', 'fallback', v_result -> 'fallback', 'call_id', v_result -> 'call_id');
    chat.error := v_result -> 'error';
    select m.confidence into chat.confidence from loci.messages as m where m.message_id = chat.message_id;
    select coalesce(jsonb_agg(to_jsonb(c) order by c.number), '[]') into chat.citations from loci.citations(chat.message_id) as c;
    chat.proposals := loci_private.turn_proposals(v_turn.turn_id);
end $$;
comment on function loci.chat(uuid, text, jsonb, boolean) is
'Ask something in a conversation of the current user: the answer, the rows it cites, how far it can be trusted (0 to 1), what it proposes, what it cost. One transaction, open while the model thinks; loci.begin_turn() and loci.finish_turn() do without. If the model fails, it is an error and nothing is stored; with raise_error false the question is stored and error says why. options: sources, scopes, traceparent. LC400 to LC408, LC500 to LC519, LC702 to LC705, LC710.';
revoke execute on function loci.chat(uuid, text, jsonb, boolean) from public;
grant execute on function loci.chat(uuid, text, jsonb, boolean) to loci_app, loci_admin;
