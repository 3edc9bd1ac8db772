create or replace function loci_private.purge_actions()
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
    v_count bigint;
    v_events bigint;
begin
    delete from loci_private.proposals as p
    where p.expires_at < v_now - make_interval(days => loci.setting('proposal_days')::integer)
        and coalesce(p.decided_at, p.expires_at) < v_now - make_interval(days => loci.setting('proposal_days')::integer);
    get diagnostics v_count = row_count;
    delete from loci_private.action_events as e
    where e.happened_at < v_now - make_interval(days => loci.setting('action_log_days')::integer);
    get diagnostics v_events = row_count;
    return v_count + v_events;
end $$;
comment on function loci_private.purge_actions() is
'Remove proposals that are over since proposal_days and events older than action_log_days; returns how many.';
revoke execute on function loci_private.purge_actions() from public;
