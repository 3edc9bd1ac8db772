create or replace function loci_private.doctor_sources()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select 'error', 'sources', s.name,
        case
            when c.oid is null then 'the table was dropped'
            else format('it cannot be read since %s: %s', date_trunc('second', s.broken_since), left(s.broken_error, 200))
        end,
        case
            when c.oid is null then format('select loci.unwatch(%s::regclass);', s.relation::oid)
            else 'select loci.reconcile();'
        end
    from loci_private.sources as s
    left join pg_class as c on c.oid = s.relation
    where s.watched and (s.broken_since is not null or c.oid is null);
    return query
    select 'error', 'sources', s.name,
        case
            when g.tgname is null then format('the trigger %s of %s is missing: changes are not seen', t.name, m.relation)
            else format('the trigger %s of %s is disabled: changes are not seen', t.name, m.relation)
        end,
        -- Rows that changed meanwhile are found by a deep look.
        case
            when g.tgname is null then format('select loci_private.refresh_source(%s);', s.source_id)
            else format('alter table %s enable trigger %I;', m.relation, t.name)
        end || e'\nselect loci.reconcile(deep => true);'
    from loci_private.sources as s
    cross join lateral loci_private.members_of(s.relation) as m
    cross join unnest(array['loci_insert', 'loci_update', 'loci_delete', 'loci_truncate']) as t (name)
    left join pg_trigger as g on g.tgrelid = m.relation and g.tgname = t.name
    where s.watched and s.broken_since is null and exists (select from pg_class as c where c.oid = s.relation)
        and (g.tgname is null or g.tgenabled not in ('O', 'A'));
    return query
    select 'error', 'sources', e.name, 'the event trigger that follows partitions and drops is missing or disabled',
        case
            when v.oid is null then 'LOCI_DSN=postgresql://... .venv/bin/alembic upgrade head'
            else format('alter event trigger %I enable;', e.name)
        end
    from unnest(array['loci_partitions', 'loci_drops']) as e (name)
    left join pg_event_trigger as v on v.evtname = e.name
    where v.oid is null or v.evtenabled not in ('O', 'A');
end $$;
comment on function loci_private.doctor_sources() is
'What loci.doctor() has to say about watched tables: those that cannot be read, triggers that are missing or disabled.';
revoke execute on function loci_private.doctor_sources() from public;
