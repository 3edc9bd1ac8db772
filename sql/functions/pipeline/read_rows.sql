create or replace function loci_private.read_rows(source_id integer, keys text [])
returns table (
    key text, content text, content_bytes integer, scope_id uuid, scope_known boolean, organization_id uuid,
    audience uuid [], metadata jsonb, context text, title text, mime_type text, fingerprint bigint
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read boolean := false;
begin
    -- The owner's code may leave traces: deferred triggers, cursors, settings of this session. At the end of the
    -- transaction they would act with the rights of whoever drains. Rows that were returned survive the undoing.
    return query execute format(
        'select r.key,
            case when octet_length(r.content) <= $2 then r.content end, octet_length(r.content),
            r.scope_id, s.scope_id is not null, loci_private.organization_of(r.scope_id), r.audience,
            case jsonb_typeof(r.metadata) when ''object'' then r.metadata else ''{}'' end,
            r.context, r.title, coalesce(r.mime_type, ''text/plain''),
            loci_private.row_fingerprint(r.content, r.scope_id, r.audience, r.metadata, r.context, r.title, r.mime_type)
        from loci_readers.%I($1) as r
        left join loci_private.scopes as s on s.scope_id = r.scope_id',
        format('source_%s_read', read_rows.source_id)
    ) using read_rows.keys, loci.setting('max_content_bytes')::integer;
    v_read := true;
    raise exception 'undo';
exception when raise_exception then
    if not v_read then
        raise;
    end if;
end $$;
comment on function loci_private.read_rows(integer, text []) is
'What a watched table holds now under these keys, read with its owner''s rights; no row for keys that are gone.';
revoke execute on function loci_private.read_rows(integer, text []) from public;
grant execute on function loci_private.read_rows(integer, text []) to loci_worker;
