create or replace function loci_private.is_fresh(source_id integer)
returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select s.broken_since is null
        and not exists (
            select from loci_private.members_of(s.relation) as m
            where not exists (
                select from pg_trigger as g
                where g.tgrelid = m.relation and g.tgname = 'loci_delete' and g.tgfoid = t.oid
            )
        )
        and array(select unnest(p.proargtypes)) = array(
            select a.atttypid
            from unnest(s.place_columns) with ordinality as c (name, n)
            join pg_attribute as a on a.attrelid = s.relation and a.attname = c.name
            order by c.n
        )
    from loci_private.sources as s
    join pg_proc as t on t.pronamespace = 'loci_private'::regnamespace and t.proname = format('source_%s_changed', s.source_id)
    join pg_proc as p on p.pronamespace = 'loci_readers'::regnamespace and p.proname = format('source_%s_place', s.source_id)
    where s.source_id = is_fresh.source_id
$$;
comment on function loci_private.is_fresh(integer) is
'Whether the functions and triggers of a source still fit its table: no new partition, no column of another type.';
revoke execute on function loci_private.is_fresh(integer) from public;
