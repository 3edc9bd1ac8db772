create or replace function loci.sees_all_calls()
returns boolean
language sql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
    select pg_has_role(session_user, 'loci_admin', 'member') or pg_has_role(session_user, 'loci_monitor', 'member')
$$;
comment on function loci.sees_all_calls() is
'Whether the ledger of calls shows all organizations: for members of loci_admin and loci_monitor.';
revoke execute on function loci.sees_all_calls() from public;
grant execute on function loci.sees_all_calls() to loci_app, loci_admin, loci_monitor;
