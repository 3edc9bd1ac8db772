create or replace function loci_private.enqueue_stale(source_id integer, most integer)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_parts bigint;
    v_turn bigint := extract(epoch from loci_private.now())::bigint / 3600;
    v_keys text[];
    v_count bigint;
    v_total bigint := 0;
begin
    -- Each hour another part of the rows, so that all have had their turn after a while.
    select greatest(ceil(count(*)::numeric / enqueue_stale.most), 1) into v_parts
    from loci_private.source_rows as r
    where r.source_id = enqueue_stale.source_id;
    for v_keys in
        select array_agg(b.key)
        from (
            select r.key, row_number() over (order by r.row_id) / 200 as batch
            from loci_private.source_rows as r
            where r.source_id = enqueue_stale.source_id and r.row_id % v_parts = v_turn % v_parts
        ) as b
        group by b.batch
    loop
        begin
            insert into loci_private.row_queue (source_id, key, op)
            select r.source_id, r.key, 'upsert'
            from loci_private.read_rows(enqueue_stale.source_id, v_keys) as n
            join loci_private.source_rows as r on r.source_id = enqueue_stale.source_id and r.key = n.key
            where r.fingerprint is distinct from n.fingerprint
                and not exists (select from loci_private.row_queue as q where q.source_id = r.source_id and q.key = r.key);
            get diagnostics v_count = row_count;
            v_total := v_total + v_count;
        exception when data_exception or raise_exception then
            -- A row that cannot be read is the drain's business, when it changes.
            null;
        end;
    end loop;
    return v_total;
end $$;
comment on function loci_private.enqueue_stale(integer, integer) is
'Queue rows of a source that read differently now than when they were indexed, as rows do whose context quotes others; looks at no more than about most rows, in turns; returns how many.';
revoke execute on function loci_private.enqueue_stale(integer, integer) from public;
