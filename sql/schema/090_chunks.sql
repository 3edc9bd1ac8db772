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
