-- One row a searchable source row. version: the newest queue_id whose content is in the chunks; placed_version: the
-- newest whose scope and audience are. redaction: marker of what was redacted when it was split.
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
    updated_at timestamptz not null,
    unique (source_id, key)
);
create index on loci_private.source_rows using gin (metadata jsonb_path_ops);

-- text_hash identifies what is embedded: redacted, where that is needed, else context and content together.
create table loci_private.chunks (
    chunk_id bigint generated always as identity primary key,
    row_id bigint not null references loci_private.source_rows (row_id) on delete cascade,
    source_id integer not null,
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
    lexemes tsvector not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on loci_private.chunks (row_id, ordinal);
create index on loci_private.chunks (scope_id);
create index on loci_private.chunks (text_hash);
create index chunks_lexemes on loci_private.chunks using gin (lexemes);
