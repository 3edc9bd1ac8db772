-- What was found out before. Unlogged: a crash empties these tables, which costs nothing but time. No unique key on
-- entries, so that nobody ever waits for another's transaction to store one; the newest of a key counts.
create unlogged table loci_private.cache (
    kind text not null check (kind in ('search', 'embedding', 'context', 'similarity', 'routing', 'response')),
    key bytea not null,
    -- What anybody may have changed since this snapshot was taken makes the entry worthless; null: it depends on nothing.
    snapshot pg_snapshot,
    made_at timestamptz not null,
    used_at timestamptz not null,
    value jsonb,
    -- kind embedding
    model_id integer,
    embedding public.halfvec,
    -- kind search: what was found, never what it says
    chunk_ids bigint [],
    scores real [],
    similarities real [],
    vector_ranks integer [],
    keyword_ranks integer []
);
create index on loci_private.cache (key);
create index on loci_private.cache (kind, used_at);

-- Which transactions changed something in which scope that a search could show; scope_id of zeros: in all of them. At most
-- one row a transaction and scope. Marks of row_queue speak for themselves (row_queue.xid).
create unlogged table loci_private.changes (
    scope_id uuid not null,
    xid xid8 not null,
    primary key (scope_id, xid)
);
-- Moments: who sees xid as committed sees every transaction before horizon. Tells which changes no entry can need any more.
create unlogged table loci_private.change_moments (
    at timestamptz not null,
    xid xid8 not null,
    horizon xid8 not null
);

-- Counters that cost no row, no lock worth speaking of and no write to the log.
create unlogged sequence loci_private.cache_search_hits;
create unlogged sequence loci_private.cache_search_misses;
create unlogged sequence loci_private.cache_search_stores;
create unlogged sequence loci_private.cache_search_evictions;
create unlogged sequence loci_private.cache_embedding_hits;
create unlogged sequence loci_private.cache_embedding_misses;
create unlogged sequence loci_private.cache_embedding_stores;
create unlogged sequence loci_private.cache_embedding_evictions;
create unlogged sequence loci_private.cache_context_hits;
create unlogged sequence loci_private.cache_context_misses;
create unlogged sequence loci_private.cache_context_stores;
create unlogged sequence loci_private.cache_context_evictions;
create unlogged sequence loci_private.cache_similarity_hits;
create unlogged sequence loci_private.cache_similarity_misses;
create unlogged sequence loci_private.cache_similarity_stores;
create unlogged sequence loci_private.cache_similarity_evictions;
create unlogged sequence loci_private.cache_routing_hits;
create unlogged sequence loci_private.cache_routing_misses;
create unlogged sequence loci_private.cache_routing_stores;
create unlogged sequence loci_private.cache_routing_evictions;
create unlogged sequence loci_private.cache_response_hits;
create unlogged sequence loci_private.cache_response_misses;
create unlogged sequence loci_private.cache_response_stores;
create unlogged sequence loci_private.cache_response_evictions;
