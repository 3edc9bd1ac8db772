create or replace function loci.visible_scopes()
returns uuid []
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return loci_private.scopes_of(loci.current_user_id());
end $$;
comment on function loci.visible_scopes() is
'Scopes (organizations, projects, the user) that the current user may see; empty when nobody is named.';
revoke execute on function loci.visible_scopes() from public;
grant execute on function loci.visible_scopes() to loci_app, loci_admin;
