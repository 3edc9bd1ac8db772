create or replace function loci_private.doctor_horizon()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old constant timestamptz := loci_private.now() - interval '1 hour';
begin
    return query
    select 'warning', 'horizon', 'process ' || s.pid,
        format(
            'a transaction of %s is open since %s (%s): nothing deleted since then can be cleared', s.login,
            date_trunc('second', s.began), s.state
        ),
        format('select pg_terminate_backend(%s);', s.pid)
    from loci_private.open_snapshots() as s
    where s.holds_back and s.began < v_old;
    return query
    select 'warning', 'horizon', p.gid,
        format('a transaction of %s was prepared at %s and never ended', p.owner, date_trunc('second', p.prepared)),
        format('rollback prepared %L;', p.gid)
    from pg_prepared_xacts as p
    where p.database = current_database() and p.prepared < v_old;
    return query
    select case when w.behind > 1073741824 or age(s.xmin) > 10000000 or age(s.catalog_xmin) > 10000000 then 'warning' else 'note' end,
        'horizon', s.slot_name::text,
        format('nobody reads from this replication slot%s', coalesce(', which keeps ' || pg_size_pretty(w.behind) || ' of WAL', '')),
        format('select pg_drop_replication_slot(%L);', s.slot_name)
    from pg_replication_slots as s
    cross join lateral (
        select pg_wal_lsn_diff(
            case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn
        ) as behind
    ) as w
    where not s.active and (s.restart_lsn is not null or s.xmin is not null or s.catalog_xmin is not null);
end $$;
comment on function loci_private.doctor_horizon() is
'What loci.doctor() has to say about what keeps dead rows from being cleared: old transactions, prepared ones, replication slots that nobody reads.';
revoke execute on function loci_private.doctor_horizon() from public;
