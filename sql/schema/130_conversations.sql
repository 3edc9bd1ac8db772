create table loci.conversations (
    conversation_id uuid not null primary key default gen_random_uuid(),
    -- Whose model, prompt and budget apply.
    organization_id uuid references loci.organizations (organization_id) on delete set null,
    user_id uuid not null references loci.users (user_id) on delete cascade,
    title text,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz not null default now()
);
create index on loci.conversations (organization_id);
create index on loci.conversations (user_id, created_at);

create table loci.messages (
    message_id bigint generated always as identity primary key,
    conversation_id uuid not null references loci.conversations (conversation_id) on delete cascade,
    organization_id uuid references loci.organizations (organization_id) on delete set null,
    -- The user whose conversation it is.
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    role text not null check (role in ('user', 'assistant')),
    content text not null,
    -- Of an answer that was cut off, as much of it as came.
    status text not null default 'complete' check (status in ('complete', 'cancelled', 'failed')),
    token_count integer,
    confidence real,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    -- Kept for the record; a memory stands for it in later turns.
    summarized_at timestamptz,
    created_at timestamptz not null default clock_timestamp()
);
create index on loci.messages (conversation_id, message_id);
create index on loci.messages (organization_id);
create index on loci.messages (scope_id);

-- One question and its answer. passages: which ones the model was shown, by number, and how similar each is to the question.
-- call: how the answer is metered, where somebody else asks the model for it.
create table loci_private.turns (
    turn_id uuid not null primary key default gen_random_uuid(),
    conversation_id uuid not null references loci.conversations (conversation_id) on delete cascade,
    user_id uuid not null references loci.users (user_id) on delete cascade,
    question_id bigint references loci.messages (message_id) on delete cascade,
    answer_id bigint references loci.messages (message_id) on delete set null,
    status text not null check (status in ('open', 'complete', 'cancelled', 'failed', 'abandoned')),
    passages jsonb not null,
    call jsonb,
    begun_at timestamptz not null,
    finished_at timestamptz
);
create unique index turns_open on loci_private.turns (conversation_id) where status = 'open';
create index on loci_private.turns (conversation_id);
create index on loci_private.turns (user_id);
create index on loci_private.turns (question_id);
create index on loci_private.turns (answer_id);
create index on loci_private.turns (begun_at) where status = 'open';

-- Which passages an answer refers to, by number.
create table loci_private.citations (
    message_id bigint not null references loci.messages (message_id) on delete cascade,
    number integer not null,
    source text not null,
    key text not null,
    chunk_id bigint not null,
    primary key (message_id, number)
);
create index on loci_private.citations (source, key);

-- What older messages of a conversation said, as far as up_to.
create table loci_private.summaries (
    conversation_id uuid not null primary key references loci.conversations (conversation_id) on delete cascade,
    summary text not null,
    up_to bigint not null,
    written_at timestamptz not null
);
