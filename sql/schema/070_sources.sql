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
