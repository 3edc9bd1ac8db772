create or replace function loci_private.members_of(relation regclass)
returns table (relation regclass)
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Not pg_partition_tree(), which locks every one of them until the transaction ends.
    with recursive members as (
        select members_of.relation::oid as oid
        union all
        select i.inhrelid
        from members as m
        join pg_inherits as i on i.inhparent = m.oid and not i.inhdetachpending
        join pg_class as c on c.oid = i.inhrelid and c.relispartition
    )
    select c.oid::regclass from members as m join pg_class as c on c.oid = m.oid and c.relkind in ('r', 'p')
$$;
comment on function loci_private.members_of(regclass) is 'A table and, if it is partitioned, its partitions at all levels.';
revoke execute on function loci_private.members_of(regclass) from public;
