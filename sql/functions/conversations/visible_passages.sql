create or replace function loci_private.visible_passages(passages jsonb)
returns table (number integer, source text, key text, chunk_id bigint, title text, content text)
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function.
    return query
    select p.number, p.source, p.key, h.chunk_id, r.title, h.content
    from jsonb_to_recordset(visible_passages.passages) as p (number integer, source text, key text, chunk_id bigint)
    join loci_private.sources as s on s.name = p.source and not s.internal
    join loci_private.source_rows as r on r.source_id = s.source_id and r.key = p.key
    left join loci_private.chunks as h on h.chunk_id = p.chunk_id and h.row_id = r.row_id
    where loci.is_visible(r.scope_id, r.audience, loci.visible_scopes(), loci.current_principals())
        -- As in the views hidden_sources and hidden_rows, for one row.
        and not exists (
            select from loci_private.row_queue as q
            where q.op in ('place', 'truncate', 'resync') and q.source_id = r.source_id and q.key in (r.key, '')
                and (q.key = '' or q.queue_id > r.placed_version)
        )
    order by p.number;
end $$;
comment on function loci_private.visible_passages(jsonb) is
'Of these passages (number, source, key, chunk_id) those whose row the current user may see now; content is null where the passage has changed.';
revoke execute on function loci_private.visible_passages(jsonb) from public;
