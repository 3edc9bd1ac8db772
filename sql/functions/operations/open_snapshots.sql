create or replace function loci_private.open_snapshots()
returns table (pid integer, login name, state text, began timestamptz, holds_back boolean)
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.pid, a.usename, a.state, a.xact_start, a.backend_xmin is not null or a.backend_xid is not null
    from pg_stat_activity as a
    where a.datname = current_database() and a.xact_start is not null and a.pid <> pg_backend_pid()
        and a.backend_type in ('client backend', 'pg_cron', 'background worker')
$$;
comment on function loci_private.open_snapshots() is
'Transactions of this database that are open. Runs as the installer: others are not shown what foreign sessions do. No statements.';
revoke execute on function loci_private.open_snapshots() from public;
grant execute on function loci_private.open_snapshots() to loci_owner;
