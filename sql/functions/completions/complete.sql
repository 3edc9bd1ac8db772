create or replace function loci.complete(
    messages jsonb,
    purpose text default 'general',
    tools jsonb default null,
    tool_choice jsonb default null,
    organization_id uuid default null,
    traceparent text default null,
    raise_error boolean default true
)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return loci_private.complete_for(
        loci_private.chat_organization(complete.organization_id), loci.current_user_id(),
        jsonb_build_object(
            'messages', complete.messages, 'purpose', complete.purpose, 'tools', complete.tools,
            'tool_choice', complete.tool_choice, 'traceparent', complete.traceparent
        ),
        complete.raise_error
    );
end $$;
comment on function loci.complete(jsonb, text, jsonb, jsonb, uuid, text, boolean) is
'Ask the organization''s chat model: messages and tools as OpenAI has them; content, tool_calls, model, usage, finish_reason and call_id come back. Model and parameters are the administrator''s. The call is made within the caller''s transaction, but is on record and counts whatever becomes of that; loci.submit() does without a transaction. raise_error false: errors of limits, gateway and model come back as {"status": "error", "error": {...}}. LC400 to LC408, LC500 to LC519.';
revoke execute on function loci.complete(jsonb, text, jsonb, jsonb, uuid, text, boolean) from public;
grant execute on function loci.complete(jsonb, text, jsonb, jsonb, uuid, text, boolean) to loci_app, loci_admin;
