create or replace function loci_private.cached_search(
    query text,
    k integer,
    mode text,
    min_similarity double precision,
    scopes uuid [],
    sources text [],
    metadata jsonb,
    since timestamptz,
    until timestamptz
)
returns setof loci.passage
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
declare
    v_access text := loci_private.cache_access();
    v_user uuid;
    v_visible uuid[];
    v_principals uuid[];
    v_key bytea;
    v_snapshot pg_snapshot;
    v_entry loci_private.cache;
    v_row loci.passage;
    v_began timestamptz;
    v_results integer;
begin
    if v_access <> 'none' then
        v_user := loci.current_user_id();
    end if;
    if v_user is not null then
        v_visible := loci_private.scopes_of(v_user);
        v_principals := loci_private.principals_of(v_user);
        -- Each part stands in its own quotes: no value can pass for another part. A restored dump is another server's.
        v_key := sha256(convert_to(row(
            'search', v_user, v_visible, v_principals, timestamptz_send(pg_postmaster_start_time()),
            lower(loci_private.cache_folded(cached_search.query)), cached_search.k, cached_search.mode,
            float8send(cached_search.min_similarity), cached_search.scopes, cached_search.sources, cached_search.metadata,
            timestamptz_send(cached_search.since), timestamptz_send(cached_search.until)
        )::text, 'UTF8'));
        select c.* into v_entry
        from loci_private.cache as c
        where c.key = v_key and c.made_at > loci_private.now() - make_interval(secs => (
                select coalesce(s.value, s.default_value)::integer from loci.settings as s where s.name = 'cache_search_seconds'
            ))
            and (select coalesce(s.value, s.default_value) from loci.settings as s where s.name = 'cache_search_entries') <> '0'
        order by c.made_at desc
        limit 1;
    end if;
    if v_entry.snapshot is not null then
        -- The entry only says which chunks. One statement, one snapshot: whether nothing has changed since, and each chunk
        -- as it is now, looked at as if it had just been found. One that is missing makes it a miss.
        return query
        select f.name, f.key, f.chunk_id, f.ordinal, f.content, f.title, f.scope_id, f.metadata, f.score, f.similarity,
            f.vector_rank, f.keyword_rank
        from (
            select s.name, r.key, c.chunk_id, c.ordinal, c.content, r.title, c.scope_id, r.metadata || c.metadata as metadata,
                h.score, h.similarity, h.vector_rank, h.keyword_rank, h.place, count(*) over () as found
            from unnest(v_entry.chunk_ids, v_entry.scores, v_entry.similarities, v_entry.vector_ranks, v_entry.keyword_ranks)
                with ordinality as h (chunk_id, score, similarity, vector_rank, keyword_rank, place)
            join loci_private.chunks as c on c.chunk_id = h.chunk_id
            join loci_private.source_rows as r on r.row_id = c.row_id
            join loci_private.sources as s on s.source_id = r.source_id
            where not exists (select from loci_private.changes_since(v_entry.snapshot, v_visible))
                and loci.is_visible(c.scope_id, c.audience, v_visible, v_principals)
                -- As in the views hidden_sources and hidden_rows, for one row.
                and not exists (
                    select from loci_private.row_queue as q
                    where q.op in ('place', 'truncate', 'resync') and q.source_id = r.source_id and q.key in (r.key, '')
                        and (q.key = '' or q.queue_id > r.placed_version)
                )
        ) as f
        where f.found = cardinality(v_entry.chunk_ids)
        order by f.place;
        if found then
            -- One hit in eight looks whether the entry should be kept longer.
            if v_access = 'write' and nextval('loci_private.cache_search_hits') % 8 = 0 then
                perform loci_private.cache_used(v_key, (loci_private.cache_limits('search')).keep / 20);
            end if;
            return;
        end if;
    end if;
    v_began := loci_private.now();
    if v_key is null or v_access <> 'write' or (loci_private.cache_limits('search')).size = 0 then
        return query select f.* from loci_private.search_text(
            cached_search.query, cached_search.k, cached_search.mode, cached_search.min_similarity, cached_search.scopes,
            cached_search.sources, cached_search.metadata, cached_search.since, cached_search.until, false, false, false
        ) as f;
        get diagnostics v_results = row_count;
        if v_key is not null then
            perform loci_private.note_search(v_began, v_results, null);
        end if;
        return;
    end if;

    perform nextval('loci_private.cache_search_misses');
    v_entry := null;
    v_snapshot := loci_private.cache_snapshot();
    for v_row in
        select f.* from loci_private.search_text(
            cached_search.query, cached_search.k, cached_search.mode, cached_search.min_similarity, cached_search.scopes,
            cached_search.sources, cached_search.metadata, cached_search.since, cached_search.until, false, false, false
        ) as f
    loop
        return next v_row;
        v_entry.chunk_ids := v_entry.chunk_ids || v_row.chunk_id;
        v_entry.scores := v_entry.scores || v_row.score;
        v_entry.similarities := v_entry.similarities || v_row.similarity;
        v_entry.vector_ranks := v_entry.vector_ranks || v_row.vector_rank;
        v_entry.keyword_ranks := v_entry.keyword_ranks || v_row.keyword_rank;
    end loop;
    -- Hits leave nothing but their count: a row for each would cost more than the hit.
    perform loci_private.note_search(v_began, coalesce(cardinality(v_entry.chunk_ids), 0), v_entry.similarities);
    -- Nothing found is quick to find again. What was found while a model was out of reach is not the answer.
    if v_entry.chunk_ids is not null
        and not exists (
            select from loci_private.changes_since(v_snapshot, v_visible || uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        )
        and loci_private.cache_room('search', v_key)
    then
        insert into loci_private.cache (
            kind, key, snapshot, made_at, used_at, chunk_ids, scores, similarities, vector_ranks, keyword_ranks
        )
        select 'search', v_key, v_snapshot, n.now, n.now, v_entry.chunk_ids, v_entry.scores, v_entry.similarities,
            v_entry.vector_ranks, v_entry.keyword_ranks
        from (select loci_private.now()) as n (now);
    end if;
end $$;
comment on function loci_private.cached_search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) is
'loci.search() through the cache: what the same user found before, if nothing has changed since that could change it, read anew and checked for visibility; else loci_private.search_text().';
revoke execute on function loci_private.cached_search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) from public;
