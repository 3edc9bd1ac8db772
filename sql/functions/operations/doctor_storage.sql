create or replace function loci_private.doctor_storage()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month constant date := date_trunc('month', loci_private.now() at time zone 'UTC')::date;
begin
    return query
    select 'warning', 'storage', t.relid::regclass::text,
        format(
            '%s dead rows beside %s live ones (%s); vacuumed last %s', t.n_dead_tup, t.n_live_tup,
            pg_size_pretty(pg_relation_size(t.relid)),
            coalesce('at ' || date_trunc('second', greatest(t.last_vacuum, t.last_autovacuum)), 'never')
        ),
        format('vacuum (analyze) %s;', t.relid::regclass)
    from pg_stat_all_tables as t
    where t.schemaname in ('loci', 'loci_private') and t.n_dead_tup > 10000 and t.n_dead_tup > t.n_live_tup
        -- A busy queue always has some, until autovacuum comes round.
        and coalesce(greatest(t.last_vacuum, t.last_autovacuum), (select i.installed_at from loci_private.installation as i))
        < loci_private.now() - interval '1 hour';
    -- A queue is empty most of the time; VACUUM gives back its empty end. What is left of it is filled again.
    return query
    select 'note', 'storage', c.oid::regclass::text,
        format('%s for about %s rows', pg_size_pretty(pg_relation_size(c.oid)), t.n_live_tup), format('vacuum %s;', c.oid::regclass)
    from pg_class as c
    join pg_stat_all_tables as t on t.relid = c.oid
    where c.relnamespace = 'loci_private'::regnamespace
        and (c.relname in (select q.queue from loci_private.queues as q) or c.relname in ('row_bulk', 'observations'))
        and pg_relation_size(c.oid) > 268435456 and pg_relation_size(c.oid) > 4000 * greatest(t.n_live_tup, 1);
    return query
    select 'warning', 'storage', n.name, format('the ledger of calls has no partition for %s', to_char(m.month, 'YYYY-MM')),
        'select loci_private.job_calls();'
    from (values (v_month), ((v_month + interval '1 month')::date)) as m (month)
    cross join lateral (select 'loci_private.calls_' || to_char(m.month, 'YYYY_MM') as name) as n
    where to_regclass(n.name) is null
        -- The job that makes them runs hourly.
        and (select i.installed_at from loci_private.installation as i) < loci_private.now() - interval '2 hours';
    return query
    select 'note', 'storage', 'loci_private.calls',
        format('the ledger holds %s of calls in %s months', pg_size_pretty(sum(pg_total_relation_size(i.inhrelid))), count(*)),
        format('update loci.settings set value = %L where name = ''call_retention_months'';', greatest(count(*) / 2, 1))
    from pg_inherits as i
    where i.inhparent = 'loci_private.calls'::regclass
    having sum(pg_total_relation_size(i.inhrelid)) > 1073741824;
end $$;
comment on function loci_private.doctor_storage() is
'What loci.doctor() has to say about disk space: dead rows, queues that have grown, partitions that will be missing, the ledger''s size.';
revoke execute on function loci_private.doctor_storage() from public;
