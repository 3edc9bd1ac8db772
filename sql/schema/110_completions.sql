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
