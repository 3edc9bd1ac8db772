create or replace function loci_private.place_conversation()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user uuid := loci.current_user_id();
begin
    if tg_op = 'UPDATE' then
        -- Whose it is never changes.
        new.conversation_id := old.conversation_id;
        new.user_id := old.user_id;
        return new;
    end if;
    new.user_id := coalesce(new.user_id, v_user);
    if new.user_id is null or (
        new.user_id is distinct from v_user and not pg_has_role(session_user, 'loci_admin', 'member')
    ) then
        raise exception 'a conversation belongs to the user who holds it'
            using errcode = 'LC700', hint = 'Leave user_id out and name the user first: select loci.act_as(user_id).';
    end if;
    new.organization_id := coalesce(new.organization_id, loci_private.organization_of(new.user_id));
    if new.organization_id is not null and not exists (
        select from loci.organization_members as m
        where m.organization_id = new.organization_id and m.user_id = new.user_id
    ) then
        raise exception 'the user is no member of organization %', new.organization_id
            using errcode = 'LC701', hint = 'Leave organization_id out: it is the user''s own.';
    end if;
    return new;
end $$;
comment on function loci_private.place_conversation() is
'A conversation belongs to the current user and to an organization of theirs (LC700, LC701).';
revoke execute on function loci_private.place_conversation() from public;
create or replace trigger conversations__place
before insert or update on loci.conversations
for each row execute function loci_private.place_conversation();
