create or replace function loci_private.done(queue text, lease uuid, queue_ids bigint [])
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- What an application's open transaction is removing goes with it, or is done again: nobody waits for it.
    execute format(
        'delete from loci_private.%1$I as q
        where q.queue_id in (
            select w.queue_id from loci_private.%1$I as w
            where w.queue_id = any($1) and w.lease = $2
            for update of w skip locked
        )', done.queue
    ) using done.queue_ids, done.lease;
end $$;
comment on function loci_private.done(text, uuid, bigint []) is 'Leased work is finished: take it out of its queue.';
revoke execute on function loci_private.done(text, uuid, bigint []) from public;
grant execute on function loci_private.done(text, uuid, bigint []) to loci_worker;
