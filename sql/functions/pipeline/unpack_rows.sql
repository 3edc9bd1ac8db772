create or replace function loci_private.unpack_rows(source_id integer default null, most integer default null)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_ids bigint[];
begin
    if most is null then
        -- What another drain is unpacking just now must be in row_queue when this returns.
        perform from loci_private.row_bulk as b
        where unpack_rows.source_id is null or b.source_id = unpack_rows.source_id
        order by b.bulk_id
        for update;
    end if;
    select array_agg(w.bulk_id) into v_ids
    from (
        select b.bulk_id
        from loci_private.row_bulk as b
        where unpack_rows.source_id is null or b.source_id = unpack_rows.source_id
        order by b.bulk_id
        limit unpack_rows.most
        for update skip locked
    ) as w;
    with taken as (
        delete from loci_private.row_bulk as b where b.bulk_id = any(v_ids) returning b.*
    )
    insert into loci_private.row_queue (queue_id, source_id, key, op, enqueued_at) overriding system value
    select k.queue_id, t.source_id, k.key, 'upsert', t.enqueued_at
    from taken as t
    cross join unnest(t.keys, t.queue_ids) as k (key, queue_id)
    -- What was read of the row since is at least as new.
    where not exists (
        select from loci_private.source_rows as r
        where r.source_id = t.source_id and r.key = k.key and r.version > k.queue_id
    );
    return coalesce(cardinality(v_ids), 0);
end $$;
comment on function loci_private.unpack_rows(integer, integer) is
'Turn entries of row_bulk into entries of row_queue and return how many there were: the oldest that nobody else is unpacking, or with most null all, waiting for others.';
revoke execute on function loci_private.unpack_rows(integer, integer) from public;
