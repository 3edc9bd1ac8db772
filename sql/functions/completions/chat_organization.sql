create or replace function loci_private.chat_organization(organization_id uuid)
returns uuid
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user uuid := loci.current_user_id();
begin
    if v_user is null then
        if pg_has_role(session_user, 'loci_admin', 'member') then
            return chat_organization.organization_id;
        end if;
        raise exception 'nobody is named who asks'
            using errcode = 'LC503', hint = 'Name the user first, in the same transaction: select loci.act_as(user_id).';
    end if;
    if chat_organization.organization_id is null then
        return loci_private.organization_of(v_user);
    end if;
    if not exists (
        select from loci.organization_members as m
        where m.organization_id = chat_organization.organization_id and m.user_id = v_user
    ) then
        raise exception 'the user does not belong to this organization'
            using errcode = 'LC504', hint = 'Leave organization_id out for the organization that the user joined first.';
    end if;
    return chat_organization.organization_id;
end $$;
comment on function loci_private.chat_organization(uuid) is
'The organization whose models and budget the current user asks with: one they belong to; null: the one joined first. LC503, LC504.';
revoke execute on function loci_private.chat_organization(uuid) from public;
