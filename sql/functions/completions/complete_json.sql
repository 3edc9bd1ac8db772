create or replace function loci.complete_json(
    messages jsonb,
    schema jsonb,
    purpose text default 'general',
    organization_id uuid default null,
    traceparent text default null
)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if complete_json.schema is null then
        raise exception 'the schema cannot be used'
            using errcode = 'LC512', detail = 'It is null.', hint = 'Pass a JSON Schema as an object; for a text use loci.complete().';
    end if;
    return loci_private.complete_for(
        loci_private.chat_organization(complete_json.organization_id), loci.current_user_id(),
        jsonb_build_object(
            'messages', complete_json.messages, 'schema', complete_json.schema, 'purpose', complete_json.purpose,
            'traceparent', complete_json.traceparent
        )
    ) -> 'value';
end $$;
comment on function loci.complete_json(jsonb, jsonb, text, uuid, text) is
'Ask the organization''s chat model for a JSON value that fits a JSON Schema; returns the value. The model is asked by tool calling, else by response_format, else in words; an answer that does not fit is sent back once with what is wrong with it (then LC513). LC512 for an unusable schema; else as loci.complete().';
revoke execute on function loci.complete_json(jsonb, jsonb, text, uuid, text) from public;
grant execute on function loci.complete_json(jsonb, jsonb, text, uuid, text) to loci_app, loci_admin;
