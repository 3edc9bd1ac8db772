create or replace function loci_private.read_rows(source_id integer, keys text [], most_bytes bigint default null)
returns table (
    key text, content text, content_bytes integer, scope_id uuid, scope_known boolean, organization_id uuid,
    audience uuid [], metadata jsonb, context text, title text, mime_type text, fingerprint bigint, held_back boolean
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
            case when r.bytes <= $2 and not r.held_back then r.content end, r.bytes,
            r.scope_id, s.scope_id is not null, loci_private.organization_of(r.scope_id), r.audience,
            case when not r.held_back and jsonb_typeof(r.metadata) = ''object'' then r.metadata else ''{}'' end,
            case when not r.held_back then r.context end, case when not r.held_back then r.title end,
            coalesce(r.mime_type, ''text/plain''),
            case when not r.held_back then
                loci_private.row_fingerprint(r.content, r.scope_id, r.audience, r.metadata, r.context, r.title, r.mime_type)
            end,
            r.held_back
        from (
            -- The shortest first, as many as fit; one at least.
            select r.*, octet_length(r.content) as bytes,
                coalesce(row_number() over shortest > 1 and sum(size.bytes) over shortest > $3, false) as held_back
            from loci_readers.%I($1) as r
            cross join lateral (
                select case when octet_length(r.content) <= $2 then octet_length(r.content) else 0 end::bigint
                    + coalesce(octet_length(r.context), 0) + coalesce(octet_length(r.title), 0)
                    + coalesce(pg_column_size(r.metadata), 0) as bytes
            ) as size
            window shortest as (order by size.bytes, r.key rows unbounded preceding)
        ) as r
        left join loci_private.scopes as s on s.scope_id = r.scope_id',
        format('source_%s_read', read_rows.source_id)
    ) using read_rows.keys, loci.setting('max_content_bytes')::integer, read_rows.most_bytes;
    v_read := true;
    raise exception 'undo';
exception when raise_exception then
    if not v_read then
        raise;
    end if;
end $$;
comment on function loci_private.read_rows(integer, text [], bigint) is
'What a watched table holds now under these keys, read with its owner''s rights; no row for keys that are gone. held_back: with it the rows would have more text than most_bytes; it is to be read again without the others.';
revoke execute on function loci_private.read_rows(integer, text [], bigint) from public;
grant execute on function loci_private.read_rows(integer, text [], bigint) to loci_worker;
