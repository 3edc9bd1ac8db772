create or replace function loci_private.put_back(queue text, lease uuid, queue_ids bigint [])
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'update loci_private.%1$I as q
        set lease = null, leased_at = null, available_at = ''-infinity''
        where q.queue_id in (
            select w.queue_id from loci_private.%1$I as w
            where w.queue_id = any($1) and w.lease = $2
            for update of w skip locked
        )', put_back.queue
    ) using put_back.queue_ids, put_back.lease;
end $$;
comment on function loci_private.put_back(text, uuid, bigint []) is
'Give leased work back untouched: it is nobody''s fault and costs no attempt.';
revoke execute on function loci_private.put_back(text, uuid, bigint []) from public;
grant execute on function loci_private.put_back(text, uuid, bigint []) to loci_worker;
