create or replace function loci_private.place_message()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select c.user_id, c.organization_id into new.scope_id, new.organization_id
    from loci.conversations as c
    where c.conversation_id = new.conversation_id
        and (c.user_id = loci.current_user_id() or pg_has_role(session_user, 'loci_admin', 'member'));
    -- One answer for conversations that do not exist and those of others.
    if not found then
        raise exception 'there is no conversation % of yours', new.conversation_id
            using errcode = 'LC702', hint = 'insert into loci.conversations default values returning conversation_id begins one.';
    end if;
    return new;
end $$;
comment on function loci_private.place_message() is 'A message lives where its conversation does (LC702).';
revoke execute on function loci_private.place_message() from public;
create or replace trigger messages__place
before insert on loci.messages
for each row execute function loci_private.place_message();
