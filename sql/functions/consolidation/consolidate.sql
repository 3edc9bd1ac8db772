create or replace function loci.consolidate(conversation_id uuid)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_conversation loci.conversations;
    v_asked record;
    v_result jsonb;
    v_count bigint;
begin
    select c.* into v_conversation
    from loci.conversations as c
    where c.conversation_id = consolidate.conversation_id
        and (c.user_id = loci.current_user_id() or pg_has_role(session_user, 'loci_admin', 'member'));
    -- One answer for conversations that do not exist and those of others.
    if not found then
        raise exception 'there is no conversation % of yours', consolidate.conversation_id
            using errcode = 'LC630', hint = 'select loci.act_as(user_id) first; conversations are in loci.conversations.';
    end if;
    select c.request, c.basis into v_asked from loci_private.consolidation_of(v_conversation.conversation_id) as c;
    if v_asked.basis is null then
        return 0;
    end if;
    v_result := loci_private.complete_for(
        loci_private.payer_of(v_conversation.organization_id, v_conversation.user_id), v_conversation.user_id, v_asked.request
    );
    v_count := loci_private.apply_consolidation(v_conversation.conversation_id, v_asked.basis, v_result -> 'value');
    if v_count is null then
        raise exception 'the conversation has changed while it was being summarised'
            using errcode = 'LC631', detail = 'A message was deleted or summarised by somebody else. Nothing was stored.',
            hint = 'Call loci.consolidate() again.';
    end if;
    return v_count;
end $$;
comment on function loci.consolidate(uuid) is
'Summarise the messages of a conversation now, but for the newest (setting context_messages): into memories of its user and the summary that later turns bring along. How many messages. For its user and loci_admin. LC630, LC631, else as loci.complete().';
revoke execute on function loci.consolidate(uuid) from public;
grant execute on function loci.consolidate(uuid) to loci_app, loci_admin;
