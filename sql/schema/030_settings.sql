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
