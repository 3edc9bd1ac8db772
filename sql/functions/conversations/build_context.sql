create or replace function loci.build_context(conversation_id uuid, query text, max_tokens integer default null)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_conversation loci.conversations;
begin
    if build_context.conversation_id is not null then
        v_conversation := loci_private.own_conversation(build_context.conversation_id);
    end if;
    if build_context.query is null or build_context.query !~ '\S' then
        raise exception 'the question is empty' using errcode = 'LC703', hint = 'Pass it as text.';
    end if;
    return loci_private.gather_context(
        v_conversation.conversation_id,
        coalesce(v_conversation.organization_id, loci_private.organization_of(loci.current_user_id())),
        build_context.query, coalesce(build_context.max_tokens, loci.setting('context_tokens')::integer)
    );
end $$;
comment on function loci.build_context(uuid, text, integer) is
'The messages that a model would get for a question, at most max_tokens (setting context_tokens): system prompt, memories, summary, passages, recent messages, question. conversation_id null: without a conversation. LC702 to LC704.';
revoke execute on function loci.build_context(uuid, text, integer) from public;
grant execute on function loci.build_context(uuid, text, integer) to loci_app, loci_admin;
