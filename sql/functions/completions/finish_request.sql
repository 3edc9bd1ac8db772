create or replace function loci_private.finish_request(lease uuid, queue_id bigint, result jsonb)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request uuid;
begin
    -- Whoever holds the lease now has the word.
    update loci_private.requests as r
    set result = finish_request.result, finished_at = loci_private.now()
    from loci_private.completion_queue as q
    where q.queue_id = finish_request.queue_id and q.lease = finish_request.lease and r.request_id = q.request_id
    returning r.request_id into v_request;
    if v_request is null then
        return false;
    end if;
    perform loci_private.done('completion_queue', finish_request.lease, array[finish_request.queue_id]);
    perform pg_notify('loci_completions', v_request::text);
    return true;
end $$;
comment on function loci_private.finish_request(uuid, bigint, jsonb) is
'Store the result of a leased request, take it out of the queue, and notify loci_completions of its id. False when the lease is lost.';
revoke execute on function loci_private.finish_request(uuid, bigint, jsonb) from public;
grant execute on function loci_private.finish_request(uuid, bigint, jsonb) to loci_worker;
