create or replace function loci_private.complete_for(
    organization_id uuid, user_id uuid, request jsonb, raise_error boolean default true
)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_result jsonb;
begin
    if pg_is_in_recovery() then
        raise exception 'a standby asks no models'
            using errcode = 'LC519', hint = 'Connect to the primary server: what is asked is counted there.';
    end if;
    v_result := loci_private.run_chat(
        loci_private.chat_config(complete_for.organization_id, complete_for.user_id), complete_for.request
    );
    if v_result ->> 'status' = 'error' and (complete_for.raise_error or v_result ? 'refused') then
        perform loci_private.raise_error(v_result -> 'error');
    end if;
    return v_result;
end $$;
comment on function loci_private.complete_for(uuid, uuid, jsonb, boolean) is
'Ask a chat model for an organization and a user: the one way for all functions. request: messages, purpose, tools, tool_choice, schema, traceparent, request_id.';
revoke execute on function loci_private.complete_for(uuid, uuid, jsonb, boolean) from public;
