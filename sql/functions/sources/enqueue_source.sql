create or replace function loci_private.enqueue_source(source_id integer, only_missing boolean default false)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    if enqueue_source.only_missing then
        perform loci_private.unpack_rows(enqueue_source.source_id);
    end if;
    insert into loci_private.row_queue (source_id, key, op)
    select enqueue_source.source_id, k.key, 'upsert'
    from loci_private.source_keys(enqueue_source.source_id) as k (key)
    where not enqueue_source.only_missing or (
        not exists (select from loci_private.source_rows as r where r.source_id = enqueue_source.source_id and r.key = k.key)
        and not exists (select from loci_private.row_queue as q where q.source_id = enqueue_source.source_id and q.key = k.key)
        and not exists (select from loci_private.failures as f where f.source_id = enqueue_source.source_id and f.key = k.key)
    );
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci_private.enqueue_source(integer, boolean) is
'Queue all rows of a watched table, or only those that nothing is known of; returns how many.';
revoke execute on function loci_private.enqueue_source(integer, boolean) from public;
