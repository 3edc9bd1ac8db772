create or replace function loci_private.turn_request(conversation_id uuid, context jsonb, options jsonb)
returns jsonb
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Not stripped of nulls as a whole: a parameter's default may be one.
    return case
        when nullif(turn_request.context -> 'tools', '[]') is null then '{}'
        else jsonb_build_object('tools', turn_request.context -> 'tools')
    end || jsonb_build_object(
        'messages', turn_request.context -> 'messages',
        'purpose', case when turn_request.conversation_id is null then 'ask' else 'chat' end,
        'traceparent', turn_request.options -> 'traceparent'
    );
end $$;
comment on function loci_private.turn_request(uuid, jsonb, jsonb) is
'What a model is asked in a turn, for loci_private.complete_for() and hand_over(): the one place that says so. conversation_id null: without a conversation.';
revoke execute on function loci_private.turn_request(uuid, jsonb, jsonb) from public;
