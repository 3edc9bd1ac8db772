create or replace function loci_private.usable_actions(user_id uuid, organization_id uuid)
returns setof loci_private.actions
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select a.*
    from loci_private.actions as a
    where a.enabled and usable_actions.user_id is not null and (
        (a.organizations is null and a.member_roles is null)
        or exists (
            select from loci.organization_members as m
            where m.organization_id = usable_actions.organization_id and m.user_id = usable_actions.user_id
                and (a.organizations is null or m.organization_id = any(a.organizations))
                and (a.member_roles is null or m.role = any(a.member_roles))
        )
    );
end $$;
comment on function loci_private.usable_actions(uuid, uuid) is
'Actions that are enabled for a user in an organization: those without restriction, and those that name it or the user''s role in it.';
revoke execute on function loci_private.usable_actions(uuid, uuid) from public;
