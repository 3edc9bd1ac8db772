create or replace function loci_private.forget_rows(source_id integer, keys text [], version bigint)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Another drain may have read them before they went: it must not store them any more.
    delete from loci_private.row_queue as q
    where q.source_id = forget_rows.source_id and q.key = any(forget_rows.keys) and q.queue_id < forget_rows.version
        and q.op in ('upsert', 'place');
    perform loci_private.remove_rows(array_agg(r.row_id))
    from (
        select r.row_id
        from loci_private.source_rows as r
        where r.source_id = forget_rows.source_id and r.key = any(forget_rows.keys) and r.version <= forget_rows.version
        order by r.row_id
        for update
    ) as r
    having count(*) > 0;
    delete from loci_private.failures as f
    where f.source_id = forget_rows.source_id and f.key = any(forget_rows.keys);
end $$;
comment on function loci_private.forget_rows(integer, text [], bigint) is
'These keys were gone when read at this version: remove what was made from them, unless somebody stored them anew since.';
revoke execute on function loci_private.forget_rows(integer, text [], bigint) from public;
grant execute on function loci_private.forget_rows(integer, text [], bigint) to loci_worker;
