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
