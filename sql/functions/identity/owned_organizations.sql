create or replace function loci.owned_organizations()
returns uuid []
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(array_agg(m.organization_id), '{}')
        from loci.organization_members as m
        where m.user_id = loci.current_user_id() and m.role = 'owner'
    );
end $$;
comment on function loci.owned_organizations() is
'Organizations whose owners the current user may appoint and dismiss (role owner); empty when nobody is named.';
revoke execute on function loci.owned_organizations() from public;
grant execute on function loci.owned_organizations() to loci_app, loci_admin;
