create or replace function loci_private.prepare_consolidations(queue_ids bigint [])
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_own record;
    v_request jsonb;
    v_basis jsonb;
    v_requests jsonb := '{}'::jsonb;
begin
    for v_own in
        select r.request_id, r.conversation_id, r.condensed_scope
        from loci_private.completion_queue as q
        join loci_private.requests as r on r.request_id = q.request_id
        where q.queue_id = any(prepare_consolidations.queue_ids) and (r.conversation_id is not null or r.condensed_scope is not null)
    loop
        if v_own.conversation_id is not null then
            select c.request, c.basis into v_request, v_basis from loci_private.consolidation_of(v_own.conversation_id) as c;
        else
            select c.request, c.basis into v_request, v_basis from loci_private.condensation_of(v_own.condensed_scope) as c;
        end if;
        if v_basis is null then
            delete from loci_private.requests as r where r.request_id = v_own.request_id;
        else
            update loci_private.requests as r set basis = v_basis where r.request_id = v_own.request_id;
            v_requests := v_requests || jsonb_build_object(v_own.request_id::text, v_request);
        end if;
    end loop;
    return v_requests;
end $$;
comment on function loci_private.prepare_consolidations(bigint []) is
'What to ask for claimed consolidations, by request id; what the answers will rest on is noted. Where nothing is left to do the request goes.';
revoke execute on function loci_private.prepare_consolidations(bigint []) from public;
