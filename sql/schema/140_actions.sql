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
