-- Group roles of the cluster; none can log in. Grant them to your own login roles.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['loci_owner', 'loci_app', 'loci_admin', 'loci_worker', 'loci_monitor', 'loci_proposer', 'loci_approver'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role) then
            begin
                execute format('create role %I nologin noinherit', v_role);
            exception
                -- Roles belong to the whole cluster: another database may be creating them right now.
                when duplicate_object or unique_violation then null;
            end;
        end if;
    end loop;
end $$;
create extension if not exists vector with schema public;
create extension if not exists plpython3u;

-- pg_cron lives in one database of a server. Elsewhere Loci works the same, with its jobs run by hand.
do $$
begin
    if current_database() = coalesce(current_setting('cron.database_name', true), '')
        and exists (select from pg_catalog.pg_available_extensions as e where e.name = 'pg_cron')
    then
        create extension if not exists pg_cron;
    end if;
end $$;
-- Two floors: what clients may touch, and the machinery behind it.
create schema if not exists loci;
create schema if not exists loci_private;
-- What is made for watched tables and belongs to their owners. Nobody but Loci can name anything in it, so that an owner
-- cannot turn a function that runs with the owner's rights into one that runs with Loci's.
create schema if not exists loci_readers;
create table loci.settings (
    name text not null primary key,
    value text,
    default_value text,
    kind text not null check (kind in ('integer', 'real', 'boolean', 'text')),
    minimum numeric,
    maximum numeric,
    description text not null
);

-- The random key that signs the identity of a transaction (see loci.act_as); one row.
create table loci_private.session_key (
    only_row boolean not null primary key default true check (only_row),
    key bytea not null check (length(key) >= 32)
);

-- What is installed; one row, written by the migration.
create table loci_private.installation (
    only_row boolean not null primary key default true check (only_row),
    version text not null,
    sql_hash text not null,
    installed_at timestamptz not null default now()
);
create table loci_private.gateways (
    gateway text not null primary key check (btrim(gateway) <> ''),
    base_url text check (base_url ~ '^https?://[^[:space:]@]+$'),
    api_key_ref text check (api_key_ref ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$'),
    max_concurrency integer not null default 5 check (max_concurrency between 1 and 100),
    requests_per_minute integer not null default 60 check (requests_per_minute between 1 and 1000000),
    timeout_seconds integer not null default 30 check (timeout_seconds between 1 and 600)
);

create table loci.embedding_models (
    model_id integer generated always as identity primary key,
    name text not null unique check (btrim(name) <> ''),
    provider text not null,
    version text not null default '1',
    dimensions integer not null check (dimensions between 1 and 4000),
    gateway text references loci_private.gateways (gateway),
    query_prefix text not null default '',
    passage_prefix text not null default '',
    tokenizer text not null default 'cl100k',
    max_batch integer not null default 100 check (max_batch between 1 and 2048),
    max_tokens integer not null default 8191 check (max_tokens between 16 and 1000000),
    quantization text not null default 'none' check (quantization in ('none', 'binary')),
    created_at timestamptz not null default now()
);
create index on loci.embedding_models (gateway);

-- The gateway's state as each embedding model, or chat, sees it: until when to leave it alone, and why.
create table loci_private.model_health (
    subject text not null primary key generated always as (coalesce('model ' || model_id::text, 'chat ' || chat_gateway)) stored,
    model_id integer unique references loci.embedding_models (model_id) on delete cascade,
    chat_gateway text unique references loci_private.gateways (gateway) on delete cascade,
    cooldown_until timestamptz not null,
    outages integer not null default 0,
    error jsonb,
    since timestamptz not null,
    check (num_nonnulls(model_id, chat_gateway) = 1)
);

-- What embedding has cost, a row a model and day.
create table loci_private.model_usage (
    model_id integer not null references loci.embedding_models (model_id) on delete cascade,
    day date not null,
    requests bigint not null default 0,
    texts bigint not null default 0,
    tokens bigint not null default 0,
    cost_usd numeric not null default 0,
    primary key (model_id, day)
);
create table loci.organizations (
    organization_id uuid not null primary key default gen_random_uuid(),
    name text not null check (btrim(name) <> ''),
    chat_model text,
    fallback_model text,
    embedding_model text references loci.embedding_models (name) on update cascade,
    api_key_ref text check (api_key_ref ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$'),
    budget_usd_month numeric(12, 2) check (budget_usd_month >= 0),
    settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at timestamptz not null default now()
);
create index on loci.organizations (embedding_model);

create table loci.users (
    user_id uuid not null primary key default gen_random_uuid(),
    email text unique,
    db_role text unique,
    created_at timestamptz not null default now()
);

create table loci.organization_members (
    organization_id uuid not null references loci.organizations (organization_id) on delete cascade,
    user_id uuid not null references loci.users (user_id) on delete cascade,
    role text not null default 'member' check (role in ('owner', 'admin', 'member')),
    joined_at timestamptz not null default clock_timestamp(),
    primary key (organization_id, user_id)
);
create index on loci.organization_members (user_id);

create table loci.teams (
    team_id uuid not null primary key default gen_random_uuid(),
    organization_id uuid not null references loci.organizations (organization_id) on delete cascade,
    name text not null check (btrim(name) <> ''),
    created_at timestamptz not null default now(),
    unique (organization_id, team_id),
    unique (organization_id, name)
);

-- Members of teams and projects are members of the organization: the foreign key ends both together.
create table loci.team_members (
    organization_id uuid not null,
    team_id uuid not null,
    user_id uuid not null,
    primary key (team_id, user_id),
    foreign key (organization_id, team_id) references loci.teams (organization_id, team_id) on delete cascade,
    foreign key (organization_id, user_id)
    references loci.organization_members (organization_id, user_id) on delete cascade
);
create index on loci.team_members (organization_id, team_id);
create index on loci.team_members (organization_id, user_id);
create index on loci.team_members (user_id);

create table loci.projects (
    project_id uuid not null primary key default gen_random_uuid(),
    organization_id uuid not null references loci.organizations (organization_id) on delete cascade,
    name text not null check (btrim(name) <> ''),
    visibility text not null default 'organization' check (visibility in ('organization', 'team', 'private')),
    team_id uuid,
    created_at timestamptz not null default now(),
    unique (organization_id, project_id),
    foreign key (organization_id, team_id) references loci.teams (organization_id, team_id),
    check (visibility <> 'team' or team_id is not null)
);
create index on loci.projects (organization_id, team_id);
create index projects_open on loci.projects (organization_id) where visibility = 'organization';

create table loci.project_members (
    organization_id uuid not null,
    project_id uuid not null,
    user_id uuid not null,
    primary key (project_id, user_id),
    foreign key (organization_id, project_id)
    references loci.projects (organization_id, project_id) on delete cascade,
    foreign key (organization_id, user_id)
    references loci.organization_members (organization_id, user_id) on delete cascade
);
create index on loci.project_members (organization_id, project_id);
create index on loci.project_members (organization_id, user_id);
create index on loci.project_members (user_id);

-- Every place a row can live in: an organization, a project or a user. Kept by triggers on those tables.
create table loci_private.scopes (
    scope_id uuid not null primary key,
    kind text not null check (kind in ('organization', 'project', 'user')),
    organization_id uuid
);
create index on loci_private.scopes (organization_id);

-- Which model an organization's rows use (organization null: all that chose none). Queries use the active model;
-- the target fills in the background and becomes active when it is complete.
create table loci_private.model_assignments (
    assignment_id integer generated always as identity primary key,
    organization_id uuid references loci.organizations (organization_id) on delete cascade,
    active_model integer references loci.embedding_models (model_id),
    target_model integer not null references loci.embedding_models (model_id),
    assigned_at timestamptz not null default now(),
    unique nulls not distinct (organization_id)
);
create index on loci_private.model_assignments (active_model);
create index on loci_private.model_assignments (target_model);
-- What is replaced by a placeholder before a text goes to a model, in organizations that want it (settings: redact).
-- organization_id null: for all of them; a row of an organization takes the place of the one of the same name.
create table loci.redaction_patterns (
    pattern_id integer generated always as identity primary key,
    organization_id uuid references loci.organizations (organization_id) on delete cascade,
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    kind text not null check (kind ~ '^[a-z][a-z0-9_]{0,30}$'),
    pattern text,
    default_pattern text,
    checksum text,
    enabled boolean not null default true,
    description text,
    unique nulls not distinct (organization_id, name),
    check (coalesce(pattern, default_pattern) is not null)
);
create table loci.documents (
    document_id uuid not null primary key default gen_random_uuid(),
    -- A user's own documents outlive an organization; those of its scopes go with the scopes.
    organization_id uuid references loci.organizations (organization_id) on delete set null,
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    audience uuid[],
    title text,
    content text,
    mime_type text not null default 'text/plain',
    source_uri text,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_by uuid references loci.users (user_id) on delete set null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index on loci.documents (organization_id);
create index on loci.documents (scope_id);
create index on loci.documents (created_by);
-- Watched tables. The expressions are text over the row; they only ever run with the rights of the table's owner.
create table loci_private.sources (
    source_id integer generated always as identity primary key,
    name text not null unique check (btrim(name) <> ''),
    relation regclass not null unique,
    key_columns text [] not null check (cardinality(key_columns) > 0),
    content text not null,
    scope text not null,
    audience text,
    metadata text,
    context text,
    title text,
    mime_type text,
    content_columns text [] not null,
    place_columns text [] not null,
    chunk_tokens integer not null check (chunk_tokens between 100 and 2000),
    chunk_overlap integer not null check (chunk_overlap between 0 and chunk_tokens / 2),
    on_update text not null check (on_update in ('serve_old', 'hide')),
    watched boolean not null default true,
    -- Found by functions of its own only, never by loci.search().
    internal boolean not null default false,
    broken_since timestamptz,
    broken_error text,
    created_at timestamptz not null default now()
);

-- The tables whose triggers tell a source what changes: the watched one and its partitions.
create table loci_private.source_tables (
    source_id integer not null references loci_private.sources (source_id) on delete cascade,
    relation regclass not null,
    primary key (source_id, relation)
);
create index on loci_private.source_tables (relation);
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
-- One row a searchable source row. version: the newest queue_id whose content is in the chunks; placed_version: the
-- newest whose scope and audience are. redaction: marker of what was redacted when it was split. has_text: it has chunks.
create table loci_private.source_rows (
    row_id bigint generated always as identity primary key,
    source_id integer not null references loci_private.sources (source_id) on delete cascade,
    key text not null,
    version bigint not null,
    placed_version bigint not null,
    organization_id uuid,
    scope_id uuid,
    audience uuid[],
    title text,
    metadata jsonb not null default '{}',
    fingerprint bigint,
    redaction text not null default '',
    has_text boolean not null default false,
    updated_at timestamptz not null,
    unique (source_id, key)
);
create index on loci_private.source_rows using gin (metadata jsonb_path_ops);

-- How rows of a source are cut: with a tokenizer, for models that take max_tokens, into chunks of at most size tokens that
-- repeat at most overlap of the one before. adopted: cut by somebody else, to about these numbers.
create table loci_private.chunkings (
    chunking_id integer generated always as identity primary key,
    source_id integer not null references loci_private.sources (source_id) on delete cascade,
    tokenizer text not null,
    max_tokens integer not null,
    size integer not null,
    overlap integer not null,
    adopted boolean not null default false,
    unique (source_id, tokenizer, max_tokens, size, overlap, adopted)
);

-- Which chunks of a source stand for its rows in the organizations of a model assignment. Search sees the active ones; those
-- of the target fill in the background and become active when they are complete. adopted_chunking: stands in for the active
-- ones where a row has none. surplus: there may be others, which search has to leave out and the drain to remove.
-- fed_row: rows up to here have been queued for the target. fed_version: what changes after this version does not hold it up.
create table loci_private.chunking_assignments (
    source_id integer not null references loci_private.sources (source_id) on delete cascade,
    assignment_id integer not null references loci_private.model_assignments (assignment_id) on delete cascade,
    active_chunking integer not null references loci_private.chunkings (chunking_id),
    target_chunking integer not null references loci_private.chunkings (chunking_id),
    adopted_chunking integer references loci_private.chunkings (chunking_id),
    surplus boolean not null default false,
    fed_row bigint not null default 0,
    fed_version bigint not null default 0,
    assigned_at timestamptz not null default now(),
    primary key (source_id, assignment_id)
);
create index on loci_private.chunking_assignments (assignment_id);
create index on loci_private.chunking_assignments (active_chunking);
create index on loci_private.chunking_assignments (target_chunking);
create index on loci_private.chunking_assignments (adopted_chunking);
create index chunking_assignments_surplus on loci_private.chunking_assignments (assignment_id) where surplus;

-- text_hash identifies what is embedded: redacted, where that is needed, else context and content together. set_size: how
-- many chunks the row was cut into; fewer means that one is missing.
create table loci_private.chunks (
    chunk_id bigint generated always as identity primary key,
    row_id bigint not null references loci_private.source_rows (row_id) on delete cascade,
    source_id integer not null,
    chunking_id integer not null,
    organization_id uuid,
    scope_id uuid not null,
    audience uuid[],
    ordinal integer not null,
    context text,
    content text not null,
    redacted text,
    text_hash bytea not null,
    token_count integer not null,
    metadata jsonb not null default '{}',
    set_size integer not null default 1,
    lexemes tsvector not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
-- The full-text arm reads the words of a thousand chunks for a question: they are kept in the row and as they are, where a
-- page has room for them.
alter table loci_private.chunks set (toast_tuple_target = 8160);
alter table loci_private.chunks alter column lexemes set storage main;
create index on loci_private.chunks (row_id, chunking_id, ordinal);
create index on loci_private.chunks (chunking_id, organization_id);
create index on loci_private.chunks (scope_id, source_id);
create index on loci_private.chunks (text_hash);
create index chunks_lexemes on loci_private.chunks using gin (lexemes);
-- What the full-text arm knows of how common words are, a scope at a time: what somebody may not see never weighs on what
-- they find. Chunks with an audience are not counted, as not everybody in their scope may know of them. Approximate: counted
-- again when a tenth of a scope has changed.
create table loci_private.text_statistics (
    scope_id uuid not null primary key references loci_private.scopes (scope_id) on delete cascade,
    chunks bigint not null default 0,
    words bigint not null default 0,
    changed bigint not null default 0
);

-- In how many chunks of a scope a word is; words of a single chunk are left out.
create table loci_private.word_counts (
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    word text not null collate "C",
    chunks bigint not null,
    primary key (scope_id, word)
);

-- How many chunks were stored in a scope since the last count. Append only, so that no drain waits for another.
create table loci_private.text_changes (
    change_id bigint generated always as identity primary key,
    scope_id uuid not null,
    chunks integer not null
);
-- What a search returns. A type of its own, because PL/pgSQL cannot return a column that is named like an argument.
create type loci.passage as (
    source text,
    key text,
    chunk_id bigint,
    ordinal integer,
    content text,
    title text,
    scope_id uuid,
    metadata jsonb,
    score real,
    similarity real,
    vector_rank integer,
    keyword_rank integer
);
-- What a search may find: the visible scopes and principals of who is asking, and what they narrowed it to (null: all).
-- hidden: sets of chunks that are not in use (null: there are none). internal: sources that no search returns. required,
-- excluded: what the text of a passage must and must not match.
create type loci_private.search_filter as (
    scopes uuid [],
    principals uuid [],
    sources integer [],
    metadata jsonb,
    since timestamptz,
    until timestamptz,
    hidden text [],
    internal integer [],
    required tsquery,
    excluded tsquery,
    within bigint []
);

-- The words of a question, each with its weight (the rarer, the more), and how long a chunk is on average. any_word
-- matches whatever has one of them; likely, far cheaper, what can be among the best. common: that is so much that it is
-- met soon wherever one looks. rough: the words again, in a few groups of about the same weight.
create type loci_private.search_words as (
    words tsquery [],
    weights double precision [],
    rough tsquery [],
    rough_weights double precision [],
    mean_length double precision,
    any_word tsquery,
    likely tsquery,
    common boolean
);
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
-- What is to run by itself, and when; loci.schedule_jobs() tells pg_cron. No schedule: the settings drain_schedule and
-- drain_workers say when, and how many side by side.
create table loci_private.job_definitions (
    job text not null primary key,
    schedule text,
    command text not null
);
-- Prices of chat models, for gateways that do not name the cost of an answer themselves. USD for a million tokens.
create table loci.model_prices (
    model text not null primary key check (btrim(model) <> ''),
    input_usd numeric not null check (input_usd >= 0 and input_usd < 1000000),
    output_usd numeric not null check (output_usd >= 0 and output_usd < 1000000)
);

-- Every call of a chat model that was made, whatever became of its transaction: rows come from the meter (meter.py).
-- Whoever was deleted stays in the books; no foreign keys.
create table loci_private.calls (
    call_id uuid not null,
    request_id uuid not null,
    called_at timestamptz not null,
    organization_id uuid,
    user_id uuid,
    purpose text not null,
    gateway text not null,
    model text not null,
    fallback boolean not null,
    status text not null check (status in ('ok', 'error', 'cancelled', 'lost')),
    sqlstate text,
    tokens_in integer,
    tokens_out integer,
    cost_usd numeric,
    cost_estimated boolean not null default false,
    latency_ms integer,
    trace_id text,
    primary key (call_id, called_at)
) partition by range (called_at);
create index on loci_private.calls (organization_id, called_at);
create index on loci_private.calls (called_at);

-- What an organization has spent in a month, as far as it is in loci_private.calls.
create table loci_private.spending (
    organization_id uuid not null,
    month date not null,
    cost_usd numeric not null,
    primary key (organization_id, month)
);

-- What was sent and answered, only while the setting chat_keep_texts is on; it goes with its user or organization.
create table loci_private.call_texts (
    call_id uuid not null primary key,
    called_at timestamptz not null,
    organization_id uuid references loci.organizations (organization_id) on delete cascade,
    user_id uuid references loci.users (user_id) on delete cascade,
    messages jsonb not null,
    answer jsonb
);
create index on loci_private.call_texts (organization_id);
create index on loci_private.call_texts (user_id);
create index on loci_private.call_texts (called_at);

-- Completions that somebody submitted, with their results until these expire.
create table loci_private.requests (
    request_id uuid not null primary key default gen_random_uuid(),
    organization_id uuid references loci.organizations (organization_id) on delete cascade,
    user_id uuid references loci.users (user_id) on delete cascade,
    request jsonb not null,
    result jsonb,
    submitted_at timestamptz not null,
    finished_at timestamptz
);
create index on loci_private.requests (organization_id);
create index on loci_private.requests (user_id, finished_at);
create index on loci_private.requests (finished_at);

create table loci_private.completion_queue (
    queue_id bigint generated always as identity primary key,
    request_id uuid not null unique references loci_private.requests (request_id) on delete cascade,
    attempts integer not null default 0,
    available_at timestamptz not null default '-infinity',
    leased_at timestamptz,
    lease uuid,
    last_error jsonb,
    enqueued_at timestamptz not null default now()
);

insert into loci_private.queues (queue) values ('completion_queue');

-- A parked request is gone with it.
alter table loci_private.failures
add foreign key (request_id) references loci_private.requests (request_id) on delete cascade;
-- A scope has as many slots as its capacity, and no two memories share one: so a scope can never hold more than that,
-- whoever writes at the same time, and nobody has to wait to be counted.
create table loci_private.memories (
    memory_id bigint generated always as identity primary key,
    organization_id uuid,
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    slot integer not null check (slot >= 0),
    audience uuid[],
    memory_type text not null check (memory_type in ('working', 'episodic', 'semantic')),
    subject text,
    content text not null check (content ~ '\S'),
    -- Of the text with its case and white space folded.
    content_hash bytea not null,
    importance real not null check (importance between 0 and 1),
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    -- Somebody said so, not only a source that it was derived from.
    stated boolean not null,
    mentions integer not null default 1,
    created_by uuid references loci.users (user_id) on delete set null,
    created_at timestamptz not null,
    -- When it was last said again; age counts from here.
    renewed_at timestamptz not null,
    expires_at timestamptz,
    -- A newer memory says otherwise: kept as history, never recalled.
    superseded_at timestamptz,
    -- Which one, for the record. No foreign key: it would have every eviction run an UPDATE that finds nothing.
    superseded_by bigint,
    -- Compared with its neighbours in meaning.
    compared boolean not null default false,
    unique (scope_id, slot)
);
create unique index memories_once on loci_private.memories (scope_id, memory_type, content_hash, audience)
nulls not distinct where superseded_at is null;
create index memories_subject on loci_private.memories (scope_id, lower(subject))
where subject is not null and superseded_at is null;
create index on loci_private.memories (scope_id, renewed_at);
create index on loci_private.memories (scope_id, superseded_at) where superseded_at is not null;
create index on loci_private.memories (scope_id, expires_at) where expires_at is not null;
create index on loci_private.memories (created_by);

-- What a memory was derived from: rows of sources by name and key; documents, messages, memories and watched tables alike.
create table loci_private.memory_lineage (
    memory_id bigint not null references loci_private.memories (memory_id) on delete cascade,
    source text not null,
    key text not null,
    -- The memory stands for the row, which is gone on purpose: summarised, or evicted.
    consumed boolean not null default false,
    primary key (memory_id, source, key)
);
create index on loci_private.memory_lineage (source, key);

-- How many memories a scope may hold where that differs from its level's setting.
create table loci_private.memory_capacities (
    scope_id uuid not null primary key references loci_private.scopes (scope_id) on delete cascade,
    capacity integer not null check (capacity between 0 and 100000)
);
create table loci.conversations (
    conversation_id uuid not null primary key default gen_random_uuid(),
    -- Whose model, prompt and budget apply.
    organization_id uuid references loci.organizations (organization_id) on delete set null,
    user_id uuid not null references loci.users (user_id) on delete cascade,
    title text,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz not null default now()
);
create index on loci.conversations (organization_id);
create index on loci.conversations (user_id, created_at);

create table loci.messages (
    message_id bigint generated always as identity primary key,
    conversation_id uuid not null references loci.conversations (conversation_id) on delete cascade,
    organization_id uuid references loci.organizations (organization_id) on delete set null,
    -- The user whose conversation it is.
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    role text not null check (role in ('user', 'assistant')),
    content text not null,
    -- Of an answer that was cut off, as much of it as came.
    status text not null default 'complete' check (status in ('complete', 'cancelled', 'failed')),
    token_count integer,
    confidence real,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    -- Kept for the record; a memory stands for it in later turns.
    summarized_at timestamptz,
    created_at timestamptz not null default clock_timestamp()
);
create index on loci.messages (conversation_id, message_id);
create index on loci.messages (organization_id);
create index on loci.messages (scope_id);

-- One question and its answer. passages: which ones the model was shown, by number, and how similar each is to the question.
-- call: how the answer is metered, where somebody else asks the model for it.
create table loci_private.turns (
    turn_id uuid not null primary key default gen_random_uuid(),
    conversation_id uuid not null references loci.conversations (conversation_id) on delete cascade,
    user_id uuid not null references loci.users (user_id) on delete cascade,
    question_id bigint references loci.messages (message_id) on delete cascade,
    answer_id bigint references loci.messages (message_id) on delete set null,
    status text not null check (status in ('open', 'complete', 'cancelled', 'failed', 'abandoned')),
    passages jsonb not null,
    call jsonb,
    begun_at timestamptz not null,
    finished_at timestamptz
);
create unique index turns_open on loci_private.turns (conversation_id) where status = 'open';
create index on loci_private.turns (conversation_id);
create index on loci_private.turns (user_id);
create index on loci_private.turns (question_id);
create index on loci_private.turns (answer_id);
create index on loci_private.turns (begun_at) where status = 'open';

-- Which passages an answer refers to, by number.
create table loci_private.citations (
    message_id bigint not null references loci.messages (message_id) on delete cascade,
    number integer not null,
    source text not null,
    key text not null,
    chunk_id bigint not null,
    primary key (message_id, number)
);
create index on loci_private.citations (source, key);

-- What older messages of a conversation said, as far as up_to.
create table loci_private.summaries (
    conversation_id uuid not null primary key references loci.conversations (conversation_id) on delete cascade,
    summary text not null,
    up_to bigint not null,
    written_at timestamptz not null
);
-- What a model may propose to do. function_name: schema and name; its only argument is jsonb. function_oid: another one that is
-- made under the same name is another one, in the database that it was registered in; in a copy of it oids differ.
create table loci_private.actions (
    name text not null primary key check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    description text not null,
    parameters jsonb not null,
    function_name text not null,
    -- Of its owner and definition when it was registered: what was registered is what runs.
    pin bytea not null,
    function_oid oid not null,
    registered_in text not null,
    -- Null: all of them; empty: none.
    organizations uuid[],
    member_roles text[],
    expires_seconds integer check (expires_seconds between 1 and 31536000),
    enabled boolean not null default true,
    registered_by text not null,
    registered_at timestamptz not null
);

-- What was proposed to a user. arguments: as the user reviews them, and as they are run.
create table loci_private.proposals (
    proposal_id uuid not null primary key default gen_random_uuid(),
    user_id uuid not null references loci.users (user_id) on delete cascade,
    organization_id uuid references loci.organizations (organization_id) on delete set null,
    conversation_id uuid references loci.conversations (conversation_id) on delete set null,
    turn_id uuid references loci_private.turns (turn_id) on delete set null,
    call_id text,
    action text not null,
    pin bytea,
    arguments jsonb not null,
    summary text not null,
    -- Invisible characters that were taken out of the arguments.
    removed integer not null default 0,
    status text not null check (status in ('proposed', 'confirmed', 'rejected', 'failed', 'refused')),
    reason text,
    result jsonb,
    error jsonb,
    proposed_at timestamptz not null,
    proposed_by text not null,
    expires_at timestamptz not null,
    decided_at timestamptz,
    decided_by text
);
create index on loci_private.proposals (user_id, proposed_at);
create index on loci_private.proposals (organization_id);
create index on loci_private.proposals (conversation_id, proposed_at);
create index on loci_private.proposals (turn_id);
create index on loci_private.proposals (expires_at);

-- What became of actions and proposals; whoever was deleted stays in the books, so there are no foreign keys.
create table loci_private.action_events (
    event_id bigint generated always as identity primary key,
    happened_at timestamptz not null,
    event text not null,
    action text not null,
    proposal_id uuid,
    user_id uuid,
    organization_id uuid,
    login text not null,
    detail jsonb not null
);
create index on loci_private.action_events (happened_at);
create index on loci_private.action_events (proposal_id);
-- What Loci itself has to ask a model, beside what was submitted: to summarise a conversation, or to condense what was
-- evicted from a scope. At most one request each. The texts are read when the request is claimed; basis says what was read.
alter table loci_private.requests
add column conversation_id uuid references loci.conversations (conversation_id) on delete cascade,
add column condensed_scope uuid references loci_private.scopes (scope_id) on delete cascade,
add column basis jsonb;
create unique index requests_conversation on loci_private.requests (conversation_id);
create unique index requests_condensed_scope on loci_private.requests (condensed_scope);

-- The summary in parts, oldest first: {messages, text, removed}; removed: the messages are gone on purpose.
alter table loci_private.summaries add column parts jsonb not null default '[]' check (jsonb_typeof(parts) = 'array');
create index messages_unsummarized on loci.messages (conversation_id) where summarized_at is null;

-- Memories that were evicted and wait to be condensed into one; a bounded number of each scope. lineage: [{source, key, consumed}].
create table loci_private.evicted_memories (
    memory_id bigint not null primary key,
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    audience uuid[],
    content text not null,
    stated boolean not null,
    created_by uuid references loci.users (user_id) on delete set null,
    lineage jsonb not null,
    evicted_at timestamptz not null
);
create index on loci_private.evicted_memories (scope_id, evicted_at);
create index on loci_private.evicted_memories (created_by);
create index on loci_private.evicted_memories using gin (lineage jsonb_path_ops);
-- Users that were forgotten, as hashes: what rows elsewhere still say of them is not taken in again.
create table loci_private.forgotten (
    user_hash bytea not null primary key,
    forgotten_at timestamptz not null
);

-- What was made of the row was erased on request; it is not indexed again until it changes.
alter table loci_private.source_rows add column forgotten boolean not null default false;

-- What was erased when, and how much; never what it said, nor whose it was.
create table loci_private.erasures (
    erasure_id bigint generated always as identity primary key,
    erased_at timestamptz not null,
    kind text not null check (kind in ('user', 'source')),
    source text,
    by_administrator boolean not null,
    report jsonb not null
);

-- Where something is quoted.
create index on loci_private.turns using gin (passages jsonb_path_ops);
create index on loci_private.summaries using gin (parts jsonb_path_ops);
-- One row of loci.doctor(). remedy: what ends in a semicolon is SQL, anything else a line for the shell.
create type loci_private.finding as (severity text, area text, object text, finding text, remedy text);

-- What was there when Loci was installed, and what brings it back; the last file of the installation writes it.
create table loci_private.installed_objects (
    kind text not null,
    object text not null,
    detail text not null,
    remedy text not null,
    primary key (kind, object, detail)
);

-- What was measured and is not counted yet. Append only, without an index: whoever measures waits for nobody. Unlogged:
-- a crash costs what was measured since the last drain.
create unlogged table loci_private.observations (
    observation_id bigint generated always as identity,
    metric text not null,
    labels jsonb not null,
    value double precision not null,
    -- Loci's own; the others are applications'.
    own boolean not null
);

-- The newest observation that is counted; one row.
create unlogged table loci_private.counted_observations (
    only_row boolean not null primary key default true check (only_row),
    up_to bigint not null
);

-- What was counted, a row for each set of labels. buckets: how many were at most as large as each bound of its histogram.
create table loci_private.metric_series (
    metric text not null,
    labels jsonb not null,
    own boolean not null,
    observed bigint not null,
    total double precision not null,
    last_value double precision not null,
    buckets bigint [] not null,
    primary key (metric, labels)
);
