create or replace function loci_private.consolidation_schema(with_facts boolean)
returns jsonb
language sql immutable parallel safe
as $$
    select jsonb_build_object(
        'type', 'object',
        'additionalProperties', false,
        'properties', jsonb_build_object('summary', '{"type": "string", "minLength": 1, "maxLength": 1500}'::jsonb)
            || case when with_facts then
                '{"facts": {"type": "array", "maxItems": 8, "items": {"type": "string", "minLength": 1, "maxLength": 300}}}'::jsonb
            else '{}' end,
        'required', case when with_facts then '["summary", "facts"]'::jsonb else '["summary"]' end
    )
$$;
comment on function loci_private.consolidation_schema(boolean) is
'What a model may answer when it summarises: texts of limited length, nothing that says whose or of which kind they are.';
revoke execute on function loci_private.consolidation_schema(boolean) from public;
