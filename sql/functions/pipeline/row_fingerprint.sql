create or replace function loci_private.row_fingerprint(
    content text, scope_id uuid, audience uuid [], metadata jsonb, context text, title text, mime_type text
)
returns bigint
language sql immutable parallel safe
as $$
    select pg_catalog.hashtextextended(
        pg_catalog.jsonb_build_array(content, scope_id, audience, metadata, context, title, mime_type)::text, 0
    )
$$;
comment on function loci_private.row_fingerprint(text, uuid, uuid [], jsonb, text, text, text) is
'Hash of everything that is read of a row: tells whether a row changed behind the triggers'' back.';
revoke execute on function loci_private.row_fingerprint(text, uuid, uuid [], jsonb, text, text, text) from public;
