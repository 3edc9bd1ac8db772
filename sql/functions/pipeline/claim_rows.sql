create or replace function loci_private.claim_rows(lease uuid)
returns table (queue_id bigint, source_id integer, key text, op text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_ids bigint[];
    v_unpacked bigint;
begin
    -- Nobody else unpacks while this waits for its turn to claim.
    perform from loci_private.queues as t where t.queue = 'row_queue' for update;
    loop
        v_unpacked := loci_private.unpack_rows(most => 1);
        select array_agg(c.id) into v_ids
        from loci_private.claim('row_queue', claim_rows.lease, loci.setting('split_batch')::integer) as c (id);
        exit when v_ids is not null or v_unpacked = 0;
    end loop;
    return query
    select q.queue_id, q.source_id, q.key, q.op
    from loci_private.row_queue as q
    where q.queue_id = any(v_ids)
    order by q.queue_id;
end $$;
comment on function loci_private.claim_rows(uuid) is 'Lease the next changed rows.';
revoke execute on function loci_private.claim_rows(uuid) from public;
grant execute on function loci_private.claim_rows(uuid) to loci_worker;
