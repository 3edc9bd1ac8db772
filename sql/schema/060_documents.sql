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
