create or replace function loci_private.propose_calls(turn_id uuid, conversation_id uuid, tool_calls jsonb)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_organization uuid;
    v_most integer := loci.setting('proposals_a_turn')::integer;
    v_call record;
begin
    -- The same that the tools were offered for.
    select coalesce(c.organization_id, loci_private.organization_of(c.user_id)) into v_organization
    from loci.conversations as c
    where c.conversation_id = propose_calls.conversation_id and c.user_id = loci.current_user_id();
    if not found or jsonb_typeof(tool_calls) is distinct from 'array' then
        return;
    end if;
    for v_call in
        select t.n, t.call, coalesce(t.call -> 'function' ->> 'name', t.call ->> 'name') as name,
            coalesce(t.call -> 'function' -> 'arguments', t.call -> 'arguments') as arguments
        from jsonb_array_elements(tool_calls) with ordinality as t (call, n)
        where t.n <= v_most + 1
        order by t.n
    loop
        if v_call.n > v_most then
            perform loci_private.store_proposal(
                v_call.name, null, v_organization, conversation_id, turn_id, null, true, loci_private.action_error('LC751')
            );
            return;
        end if;
        begin
            -- As the API has them, a text; or as loci.complete() returns them, read already.
            if jsonb_typeof(v_call.arguments) = 'string' then
                v_call.arguments := (v_call.arguments #>> '{}')::jsonb;
            end if;
            perform loci_private.store_proposal(
                v_call.name, v_call.arguments, v_organization, conversation_id, turn_id, v_call.call ->> 'id', true
            );
        exception when others then
            perform loci_private.store_proposal(
                v_call.name, null, v_organization, conversation_id, turn_id, v_call.call ->> 'id', true,
                jsonb_build_object('sqlstate', sqlstate, 'message', 'the call cannot be read', 'detail', sqlerrm)
            );
        end;
    end loop;
end $$;
comment on function loci_private.propose_calls(uuid, uuid, jsonb) is
'Turn the tool calls of a model''s reply into proposals of a turn. Those that cannot be are stored as refused, with their reason; never an error.';
revoke execute on function loci_private.propose_calls(uuid, uuid, jsonb) from public;
