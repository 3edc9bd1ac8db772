create or replace function loci.current_principals()
returns uuid []
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return loci_private.principals_of(loci.current_user_id());
end $$;
comment on function loci.current_principals() is
'The current user and their teams: whom an audience may name; empty when nobody is named.';
revoke execute on function loci.current_principals() from public;
grant execute on function loci.current_principals() to loci_app, loci_admin;
