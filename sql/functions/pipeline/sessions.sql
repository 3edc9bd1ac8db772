create or replace function loci_private.sessions()
returns table (pid integer, backend_start timestamptz)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A look from earlier in this transaction would miss sessions that began since.
    perform pg_stat_clear_snapshot();
    return query
    select a.pid, a.backend_start from pg_stat_activity as a where a.datname = current_database();
end $$;
comment on function loci_private.sessions() is
'Sessions of this database that are alive; pid and start together name one for ever, whatever server it was on.';
revoke execute on function loci_private.sessions() from public;
grant execute on function loci_private.sessions() to loci_owner;
