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
