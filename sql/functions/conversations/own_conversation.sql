create or replace function loci_private.own_conversation(conversation_id uuid)
returns loci.conversations
language plpgsql stable parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_conversation loci.conversations;
begin
    select c.* into v_conversation
    from loci.conversations as c
    where c.conversation_id = own_conversation.conversation_id and c.user_id = loci.current_user_id();
    if not found then
        raise exception 'there is no conversation % of yours', own_conversation.conversation_id
            using errcode = 'LC702', hint = 'insert into loci.conversations default values returning conversation_id begins one.';
    end if;
    return v_conversation;
end $$;
comment on function loci_private.own_conversation(uuid) is 'A conversation of the current user; LC702 for those of others and those that do not exist.';
revoke execute on function loci_private.own_conversation(uuid) from public;
