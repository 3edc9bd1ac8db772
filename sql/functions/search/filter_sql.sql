create or replace function loci_private.filter_sql(filter loci_private.search_filter, marked boolean default true)
returns text
language sql immutable parallel safe
as $$
    select 'loci.is_visible(x.scope_id, x.audience, ($1).scopes, ($1).principals) '
        -- Marked rows are rare: usually one look at an empty index answers for all. Else they are looked up once a search.
        || case when marked then
            'and ((select not exists (select from loci_private.row_queue as q where q.op in (''place'', ''truncate'', ''resync'')))'
            ' or (x.source_id not in (select h.source_id from loci_private.hidden_sources as h)'
            ' and x.row_id not in (select h.row_id from loci_private.hidden_rows as h)))'
            else 'and true'
        end
        -- Memories are recalled, never searched.
        || ' and x.source_id <> all(($1).internal)'
        || case when filter.sources is not null then ' and x.source_id = any(($1).sources)' else '' end
        || case when filter.metadata is not null or filter.since is not null or filter.until is not null then
            ' and exists (select from loci_private.source_rows as r where r.row_id = x.row_id'
            || case when filter.metadata is not null then ' and r.metadata @> ($1).metadata' else '' end
            || case when filter.since is not null then ' and r.updated_at >= ($1).since' else '' end
            || case when filter.until is not null then ' and r.updated_at < ($1).until' else '' end || ')'
            else ''
        end
        || case when filter.hidden is not null then
            ' and (x.chunking_id || ''/'' || coalesce(x.organization_id::text, '''')) <> all(($1).hidden)'
            else ''
        end
        || case when filter.required is not null then
            ' and x.chunk_id in (select c.chunk_id from loci_private.chunks as c where c.lexemes operator(pg_catalog.@@) ($1).required)'
            else ''
        end
        || case when filter.within is not null then ' and x.chunk_id = any(($1).within)' else '' end
        || case when filter.excluded is not null then
            ' and x.chunk_id not in (select c.chunk_id from loci_private.chunks as c where c.lexemes operator(pg_catalog.@@) ($1).excluded)'
            else ''
        end
$$;
comment on function loci_private.filter_sql(loci_private.search_filter, boolean) is
'SQL text of what a search may find, over a row x of chunks or vectors; $1 is the filter itself. marked: false when no row is marked as deleted or moved.';
revoke execute on function loci_private.filter_sql(loci_private.search_filter, boolean) from public;
