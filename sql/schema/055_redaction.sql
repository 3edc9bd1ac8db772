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
