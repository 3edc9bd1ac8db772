create or replace function loci.managed_organizations()
returns uuid []
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(array_agg(m.organization_id), '{}')
        from loci.organization_members as m
        where m.user_id = loci.current_user_id() and m.role in ('owner', 'admin')
    );
end $$;
comment on function loci.managed_organizations() is
'Organizations whose members, teams and projects the current user may change (roles owner and admin); empty when nobody is named.';
revoke execute on function loci.managed_organizations() from public;
grant execute on function loci.managed_organizations() to loci_app, loci_admin, loci_monitor;
