create or replace function loci.build_context(
    conversation_id uuid, query text, max_tokens integer default null, options jsonb default '{}'
)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_conversation loci.conversations;
    v_options jsonb := loci_private.turn_options(build_context.options);
begin
    if build_context.conversation_id is not null then
        v_conversation := loci_private.own_conversation(build_context.conversation_id);
    end if;
    perform loci_private.check_question(build_context.query);
    return loci_private.gather_context(
        v_conversation.conversation_id, loci_private.chat_organization(v_conversation.organization_id), build_context.query,
        coalesce(build_context.max_tokens, loci.setting('context_tokens')::integer), v_options
    );
end $$;
comment on function loci.build_context(uuid, text, integer, jsonb) is
'What a model would get for a question, at most max_tokens (setting context_tokens): messages with the system prompt, memories, summary, passages, the last messages and the question; tokens; which passages have which number. conversation_id null: without a conversation. options: sources, scopes. LC503, LC504, LC702, LC703, LC704, LC710.';
revoke execute on function loci.build_context(uuid, text, integer, jsonb) from public;
grant execute on function loci.build_context(uuid, text, integer, jsonb) to loci_app, loci_admin;
