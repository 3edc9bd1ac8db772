create or replace function loci.citations(message_id bigint)
returns table (number integer, source text, key text, chunk_id bigint, title text, content text)
language sql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
    select c.number, c.source, c.key, h.chunk_id, r.title, h.content
    from loci_private.citations as c
    join loci.messages as m on m.message_id = c.message_id and m.scope_id = loci.current_user_id()
    join loci_private.sources as s on s.name = c.source and not s.internal
    join loci_private.source_rows as r on r.source_id = s.source_id and r.key = c.key
    left join loci_private.chunks as h on h.chunk_id = c.chunk_id and h.row_id = r.row_id
    where c.message_id = citations.message_id
        -- What was seen then is shown only as long as it may be seen.
        and loci.is_visible(r.scope_id, r.audience, loci.visible_scopes(), loci.current_principals())
        and r.source_id not in (select x.source_id from loci_private.hidden_sources as x)
        and r.row_id not in (select x.row_id from loci_private.hidden_rows as x)
    order by c.number
$$;
comment on function loci.citations(bigint) is
'The rows that an answer of the current user''s refers to by [number], as far as the user may still see them. content is null when the passage was changed since.';
revoke execute on function loci.citations(bigint) from public;
grant execute on function loci.citations(bigint) to loci_app, loci_admin;
