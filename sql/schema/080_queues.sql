-- Queues share queue_id, attempts, available_at, leased_at, lease and last_error, the columns of the one lease
-- mechanism (loci_private.claim and its siblings). A leased row is available again when its lease has run out, or when
-- the session that holds the lease has ended.
create table loci_private.leases (
    lease uuid not null primary key,
    pid integer not null,
    backend_start timestamptz not null
);

-- Whoever claims work of a queue locks its entry, so that claims follow one another.
create table loci_private.queues (
    queue name not null primary key
);
insert into loci_private.queues (queue) values ('row_queue'), ('embed_queue');

-- Changed rows of watched tables. Append only for applications: no unique key, so that no INSERT ever waits or fails
-- on it. The newest queue_id of a key is the version of that row. 'place' marks rows that were deleted or moved:
-- search hides them until the mark is worked off. Whole sources: 'truncate' (rows are gone), 'resync' (changes were
-- missed) hide all of them likewise; 'scan' only looks for missing rows.
create table loci_private.row_queue (
    queue_id bigint generated always as identity primary key,
    source_id integer not null,
    key text not null,
    op text not null check (op in ('upsert', 'place', 'truncate', 'resync', 'scan')),
    attempts integer not null default 0,
    available_at timestamptz not null default '-infinity',
    leased_at timestamptz,
    lease uuid,
    last_error jsonb,
    enqueued_at timestamptz not null default now(),
    xid xid8 not null default pg_current_xact_id()
);
create index on loci_private.row_queue (source_id, key);
create index row_queue_placing on loci_private.row_queue (source_id, key, queue_id) where op in ('place', 'truncate', 'resync');
-- xid: the transaction that made a mark; caches ask for marks that are younger than what they hold. The condition on xid is
-- always true: it keeps this index out of the plans of those who ask for marks of a row.
create index row_queue_marking on loci_private.row_queue (xid)
where op in ('place', 'truncate', 'resync') and xid is not null;

-- Rows of large INSERTs: an entry stands for up to a thousand and costs the application a fraction of as many entries of
-- row_queue. The drain unpacks it into those. Their queue_ids were taken when the rows were written and are their versions.
create table loci_private.row_bulk (
    bulk_id bigint generated always as identity primary key,
    source_id integer not null,
    keys text[] not null,
    queue_ids bigint[] not null,
    enqueued_at timestamptz not null default now()
);
-- Trying to compress them would take longer than writing them.
alter table loci_private.row_bulk alter column keys set storage external, alter column queue_ids set storage external;

-- Chunks that still need a vector of a model.
create table loci_private.embed_queue (
    queue_id bigint generated always as identity primary key,
    model_id integer not null references loci.embedding_models (model_id) on delete cascade,
    chunk_id bigint not null,
    attempts integer not null default 0,
    available_at timestamptz not null default '-infinity',
    leased_at timestamptz,
    lease uuid,
    last_error jsonb,
    enqueued_at timestamptz not null default now(),
    unique (model_id, chunk_id)
);
create index on loci_private.embed_queue (model_id, queue_id);
create index on loci_private.embed_queue (chunk_id);

-- Work that failed too often: parked here until somebody replays it or its row changes.
create table loci_private.failures (
    failure_id bigint generated always as identity primary key,
    stage text not null check (stage in ('split', 'embed', 'complete')),
    source_id integer,
    key text not null,
    op text,
    chunk_id bigint,
    request_id uuid,
    model_id integer references loci.embedding_models (model_id) on delete cascade,
    attempts integer not null,
    error jsonb not null,
    enqueued_at timestamptz not null,
    failed_at timestamptz not null
);
create index on loci_private.failures (source_id, key);
create index on loci_private.failures (chunk_id);
create index on loci_private.failures (model_id);
create index on loci_private.failures (request_id);
