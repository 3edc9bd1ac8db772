create or replace function loci_private.erase_indexed(source_id integer, keys text [], refuse boolean)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_rows bigint[];
    v_chunks bigint[];
    v_left record;
begin
    delete from loci_private.row_queue as q where q.source_id = erase_indexed.source_id and q.key = any(erase_indexed.keys);
    update loci_private.row_bulk as b
    set (keys, queue_ids) = (
        select coalesce(array_agg(u.key), '{}'), coalesce(array_agg(u.queue_id), '{}')
        from unnest(b.keys, b.queue_ids) as u (key, queue_id)
        where u.key <> all(erase_indexed.keys)
    )
    where b.source_id = erase_indexed.source_id and b.keys && erase_indexed.keys;
    select array_agg(r.row_id) into v_rows
    from (
        select r.row_id from loci_private.source_rows as r
        where r.source_id = erase_indexed.source_id and r.key = any(erase_indexed.keys)
        order by r.row_id
        for update
    ) as r;
    select array_agg(c.chunk_id) into v_chunks from loci_private.chunks as c where c.row_id = any(v_rows);
    if v_chunks is not null then
        perform loci_private.remove_chunks(v_chunks);
    end if;
    delete from loci_private.failures as f where f.source_id = erase_indexed.source_id and f.key = any(erase_indexed.keys);
    if v_rows is not null then
        perform loci_private.remove_rows(v_rows);
    end if;
    if erase_indexed.refuse then
        -- What is left is a key and a hash: the row is known to be read as it is. Older changes that a drain holds come too late.
        begin
            for v_left in select r.key, r.fingerprint from loci_private.read_rows(erase_indexed.source_id, erase_indexed.keys) as r loop
                insert into loci_private.source_rows (source_id, key, version, placed_version, fingerprint, forgotten, updated_at)
                select erase_indexed.source_id, v_left.key, n.version, n.version, v_left.fingerprint, true, loci_private.now()
                from (select nextval('loci_private.row_queue_queue_id_seq') as version) as n;
            end loop;
        exception when others then
            -- A table that cannot be read any more: then nothing of these rows is taken in, changed or not.
            insert into loci_private.source_rows (source_id, key, version, placed_version, forgotten, updated_at)
            select erase_indexed.source_id, k.key, n.version, n.version, true, loci_private.now()
            from unnest(erase_indexed.keys) as k (key)
            cross join (select nextval('loci_private.row_queue_queue_id_seq') as version) as n;
        end;
    end if;
    return coalesce(cardinality(v_rows), 0);
end $$;
comment on function loci_private.erase_indexed(integer, text [], boolean) is
'Remove what was made of rows of a source, and everything that is queued or has failed of them; how many were indexed. refuse: they are not indexed again until they change.';
revoke execute on function loci_private.erase_indexed(integer, text [], boolean) from public;
