create or replace function loci_private.finish_request(lease uuid, queue_id bigint, result jsonb)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request uuid;
    v_conversation uuid;
    v_scope uuid;
    v_basis jsonb;
    v_count bigint;
begin
    -- Whoever holds the lease now has the word.
    select r.request_id, r.conversation_id, r.condensed_scope, r.basis into v_request, v_conversation, v_scope, v_basis
    from loci_private.completion_queue as q
    join loci_private.requests as r on r.request_id = q.request_id
    where q.queue_id = finish_request.queue_id and q.lease = finish_request.lease
    for update nowait;
    if v_request is null then
        return false;
    end if;
    if v_conversation is not null or v_scope is not null then
        v_count := case
            when v_scope is null then loci_private.apply_consolidation(v_conversation, v_basis, finish_request.result -> 'value')
            else loci_private.apply_condensation(v_scope, v_basis, finish_request.result -> 'value')
        end;
        if v_count is null then
            -- It rests on what is no more: it is asked again.
            perform loci_private.put_back('completion_queue', finish_request.lease, array[finish_request.queue_id]);
        else
            delete from loci_private.requests as r where r.request_id = v_request;
        end if;
        return true;
    end if;
    update loci_private.requests as r
    set result = finish_request.result, finished_at = loci_private.now()
    where r.request_id = v_request;
    perform loci_private.done('completion_queue', finish_request.lease, array[finish_request.queue_id]);
    perform pg_notify('loci_completions', v_request::text);
    return true;
end $$;
comment on function loci_private.finish_request(uuid, bigint, jsonb) is
'Store the result of a leased request, take it out of the queue, and notify loci_completions of its id; of a consolidation write what it is for. False when the lease is lost, 55P03 when somebody is in the way.';
revoke execute on function loci_private.finish_request(uuid, bigint, jsonb) from public;
grant execute on function loci_private.finish_request(uuid, bigint, jsonb) to loci_worker;
