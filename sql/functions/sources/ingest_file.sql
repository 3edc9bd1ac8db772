create or replace function loci.ingest_file(
    scope_id uuid,
    filename text,
    bytes bytea,
    metadata jsonb default '{}'
)
returns uuid
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_scope uuid := coalesce(ingest_file.scope_id, loci.current_user_id());
    v_file record;
    v_document uuid;
begin
    if jsonb_typeof(ingest_file.metadata) is distinct from 'object' then
        raise exception 'metadata is no JSON object' using errcode = 'LC269', hint = 'Pass an object, such as {"author": "Ada"}.';
    end if;
    -- No file is read for a scope that is not the caller's; the trigger on loci.documents has the last word.
    if v_scope is null then
        raise exception 'a document needs a scope'
            using errcode = 'LC140',
            hint = 'Pass an organization, project or user, or name the user first: select loci.act_as(user_id).';
    end if;
    if not (v_scope = any(loci.visible_scopes()) or pg_has_role(session_user, 'loci_admin', 'member')) then
        raise exception 'there is no scope % that you may write to', v_scope
            using errcode = 'LC141', hint = 'select loci.visible_scopes() lists yours: organizations, projects and the user.';
    end if;
    select f.* into strict v_file
    from loci_private.convert_file(
        ingest_file.filename, ingest_file.bytes,
        jsonb_build_object(
            'max_bytes', loci.setting('ingest_max_bytes')::integer,
            'max_pages', loci.setting('ingest_max_pages')::integer,
            -- More than this would be stored and never found.
            'max_text_bytes',
            least(loci.setting('ingest_max_text_bytes')::integer, loci.setting('max_content_bytes')::integer),
            'max_expansion', loci.setting('ingest_max_expansion')::integer,
            'max_seconds', loci.setting('ingest_max_seconds')::real
        )
    ) as f;
    insert into loci.documents (scope_id, title, content, mime_type, metadata)
    values (
        v_scope, v_file.title, v_file.content, v_file.mime_type, ingest_file.metadata || v_file.metadata
    )
    returning document_id into v_document;
    return v_document;
end $$;
comment on function loci.ingest_file(uuid, text, bytea, jsonb) is
'Store the text of a file (PDF, DOCX, HTML, Markdown, plain text) as a document; returns its document_id. What it is, its content decides. Passages know their page (PDF) or heading; filename and the number of pages are added to metadata. Pictures are not read. scope_id null: the current user. LC141 for a scope out of sight, LC260 to LC269 for files that cannot be read; then nothing is stored.';
revoke execute on function loci.ingest_file(uuid, text, bytea, jsonb) from public;
grant execute on function loci.ingest_file(uuid, text, bytea, jsonb) to loci_app, loci_admin;
