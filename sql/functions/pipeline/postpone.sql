create or replace function loci_private.postpone(
    queue text, lease uuid, queue_ids bigint [], seconds real, error jsonb
)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'update loci_private.%1$I as q
        set lease = null, leased_at = null, available_at = $3 + make_interval(secs => $4), last_error = $5
        where q.queue_id in (
            select w.queue_id from loci_private.%1$I as w
            where w.queue_id = any($1) and w.lease = $2
            for update of w skip locked
        )', postpone.queue
    ) using postpone.queue_ids, postpone.lease, loci_private.now(), postpone.seconds, postpone.error;
end $$;
comment on function loci_private.postpone(text, uuid, bigint [], real, jsonb) is
'Give leased work back for later: something else was in its way. Costs no attempt; the reason is shown in loci.failures.';
revoke execute on function loci_private.postpone(text, uuid, bigint [], real, jsonb) from public;
grant execute on function loci_private.postpone(text, uuid, bigint [], real, jsonb) to loci_worker;
