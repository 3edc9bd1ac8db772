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
returns table (
    source text,
    key text,
    chunk_id bigint,
    ordinal integer,
    content text,
    title text,
    scope_id uuid,
    row_metadata jsonb,
    score real,
    similarity real,
    vector_rank integer,
    keyword_rank integer
)
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
declare
    v_access text := loci_private.cache_access();
    v_keep interval;
    v_user uuid;
    v_visible uuid[];
    v_principals uuid[];
    v_key bytea;
    v_snapshot pg_snapshot;
    v_row record;
    v_chunks bigint[] := '{}';
    v_scores real[] := '{}';
    v_similarities real[] := '{}';
    v_vector_ranks integer[] := '{}';
    v_keyword_ranks integer[] := '{}';
begin
    if v_access <> 'none' then
        v_keep := (loci_private.cache_limits('search')).keep;
        v_user := loci.current_user_id();
    end if;
    if v_keep is not null and v_user is not null then
        v_visible := loci_private.scopes_of(v_user);
        v_principals := loci_private.principals_of(v_user);
        -- Each part stands in its own quotes: no value can pass for another part. A restored dump is another server's.
        v_key := sha256(convert_to(row(
            'search', v_user, v_visible, v_principals, timestamptz_send(pg_postmaster_start_time()),
            lower(loci_private.cache_folded(cached_search.query)), cached_search.k, cached_search.mode,
            float8send(cached_search.min_similarity), cached_search.scopes, cached_search.sources, cached_search.metadata,
            timestamptz_send(cached_search.since), timestamptz_send(cached_search.until)
        )::text, 'UTF8'));
        -- One statement, one snapshot. The entry only says which chunks; each is read and looked at as it is now, and one
        -- that is missing makes it a miss.
        return query
        with entry as materialized (
            select c.*
            from loci_private.cache as c
            where c.key = v_key and c.made_at > loci_private.now() - v_keep
            order by c.made_at desc
            limit 1
        ), found as materialized (
            select s.name, r.key, c.chunk_id, c.ordinal, c.content, r.title, c.scope_id, r.metadata || c.metadata as metadata,
                h.score, h.similarity, h.vector_rank, h.keyword_rank, h.place
            from entry as e
            cross join lateral unnest(e.chunk_ids, e.scores, e.similarities, e.vector_ranks, e.keyword_ranks)
                with ordinality as h (chunk_id, score, similarity, vector_rank, keyword_rank, place)
            join loci_private.chunks as c on c.chunk_id = h.chunk_id
            join loci_private.source_rows as r on r.row_id = c.row_id
            join loci_private.sources as s on s.source_id = r.source_id
            where loci_private.is_current(e.snapshot, v_visible)
                and loci.is_visible(c.scope_id, c.audience, v_visible, v_principals)
                and (
                    (select not exists (select from loci_private.row_queue as q where q.op in ('place', 'truncate', 'resync')))
                    or not exists (select from loci_private.hidden_sources as x where x.source_id = r.source_id)
                    and not exists (select from loci_private.hidden_rows as x where x.row_id = r.row_id)
                )
        )
        select f.name, f.key, f.chunk_id, f.ordinal, f.content, f.title, f.scope_id, f.metadata, f.score, f.similarity,
            f.vector_rank, f.keyword_rank
        from found as f
        where (select count(*) from found) = (select cardinality(e.chunk_ids) from entry as e)
        order by f.place;
        if found then
            if v_access = 'write' then
                perform nextval('loci_private.cache_search_hits');
                perform loci_private.cache_used(v_key, v_keep / 20);
            end if;
            return;
        end if;
    end if;
    if v_key is null or v_access <> 'write' then
        return query select f.* from loci_private.search_text(
            cached_search.query, cached_search.k, cached_search.mode, cached_search.min_similarity, cached_search.scopes,
            cached_search.sources, cached_search.metadata, cached_search.since, cached_search.until
        ) as f;
        return;
    end if;

    perform nextval('loci_private.cache_search_misses');
    perform set_config('loci.degraded', '', true);
    v_snapshot := loci_private.cache_snapshot();
    for v_row in
        select f.* from loci_private.search_text(
            cached_search.query, cached_search.k, cached_search.mode, cached_search.min_similarity, cached_search.scopes,
            cached_search.sources, cached_search.metadata, cached_search.since, cached_search.until
        ) as f
    loop
        source := v_row.source;
        key := v_row.key;
        chunk_id := v_row.chunk_id;
        ordinal := v_row.ordinal;
        content := v_row.content;
        title := v_row.title;
        scope_id := v_row.scope_id;
        row_metadata := v_row.row_metadata;
        score := v_row.score;
        similarity := v_row.similarity;
        vector_rank := v_row.vector_rank;
        keyword_rank := v_row.keyword_rank;
        return next;
        v_chunks := v_chunks || v_row.chunk_id;
        v_scores := v_scores || v_row.score;
        v_similarities := v_similarities || v_row.similarity;
        v_vector_ranks := v_vector_ranks || v_row.vector_rank;
        v_keyword_ranks := v_keyword_ranks || v_row.keyword_rank;
    end loop;
    -- Nothing found is quick to find again. What was found while a model was out of reach is not the answer.
    if cardinality(v_chunks) > 0 and current_setting('loci.degraded') = '' and loci_private.is_current(v_snapshot, v_visible)
        and loci_private.cache_room('search', v_key)
    then
        insert into loci_private.cache (
            kind, key, snapshot, made_at, used_at, chunk_ids, scores, similarities, vector_ranks, keyword_ranks
        )
        select 'search', v_key, v_snapshot, n.now, n.now, v_chunks, v_scores, v_similarities, v_vector_ranks, v_keyword_ranks
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
