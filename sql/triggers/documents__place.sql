create or replace function loci_private.place_document()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind text;
begin
    if tg_op = 'INSERT' then
        new.scope_id := coalesce(new.scope_id, loci.current_user_id());
        new.created_by := loci.current_user_id();
    else
        -- Never another's; but a user who is being deleted takes the name along.
        new.created_by := (select u.user_id from loci.users as u where u.user_id = old.created_by);
        new.updated_at := now();
    end if;
    if new.scope_id is null then
        raise exception 'a document needs a scope'
            using errcode = 'LC140',
            hint = 'Set scope_id to an organization, project or user, or name the user first: select loci.act_as(user_id).';
    end if;
    select s.kind, s.organization_id into v_kind, new.organization_id
    from loci_private.scopes as s
    where s.scope_id = new.scope_id;
    -- One answer for scopes that do not exist and scopes out of sight.
    if not found or not (
        new.scope_id = any(loci.visible_scopes()) or pg_has_role(session_user, 'loci_admin', 'member')
    ) then
        raise exception 'there is no scope % that you may write to', new.scope_id
            using errcode = 'LC141', hint = 'select loci.visible_scopes() lists yours: organizations, projects and the user.';
    end if;
    if v_kind = 'user' then
        new.organization_id := loci_private.organization_of(new.scope_id);
    end if;
    return new;
end $$;
comment on function loci_private.place_document() is
'A document''s scope defaults to the current user; its organization follows the scope (LC140, LC141).';
revoke execute on function loci_private.place_document() from public;
create or replace trigger documents__place
before insert or update on loci.documents
for each row execute function loci_private.place_document();
