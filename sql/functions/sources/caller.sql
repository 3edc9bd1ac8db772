create or replace function loci_private.caller()
returns text
language sql stable parallel restricted
as $$ select coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user::text) $$;
comment on function loci_private.caller() is
'The role that called a security definer function: SET ROLE cannot be used inside one, so the setting still tells.';
revoke execute on function loci_private.caller() from public;
