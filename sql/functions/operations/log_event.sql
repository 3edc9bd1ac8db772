create or replace function loci_private.log_event(event text, detail jsonb default '{}')
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
-- The server's log only, and without the statement that is running: that may quote what nobody is to read there.
set client_min_messages = error
set log_min_error_statement = panic
set log_error_verbosity = terse
as $$
begin
    if loci.setting('log_events') <> 'true' then
        return;
    end if;
    raise log 'loci %', jsonb_build_object(
        'event', log_event.event, 'at', loci_private.now(), 'database', current_database(), 'pid', pg_backend_pid(),
        'transaction', pg_current_xact_id_if_assigned()::text
    ) || log_event.detail;
end $$;
comment on function loci_private.log_event(text, jsonb) is
'One line of JSON in the server''s log, where the setting log_events is on. Ids, names and figures; never what a row says. Runs as the installer: only a superuser may keep the running statement out of the log.';
revoke execute on function loci_private.log_event(text, jsonb) from public;
grant execute on function loci_private.log_event(text, jsonb) to loci_owner, loci_worker;
