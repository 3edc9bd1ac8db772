create table loci_private.gateways (
    gateway text not null primary key check (btrim(gateway) <> ''),
    base_url text check (base_url ~ '^https?://[^[:space:]@]+$'),
    api_key_ref text check (api_key_ref ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$'),
    max_concurrency integer not null default 5 check (max_concurrency between 1 and 100),
    requests_per_minute integer not null default 60 check (requests_per_minute between 1 and 1000000),
    timeout_seconds integer not null default 30 check (timeout_seconds between 1 and 600)
);

create table loci.embedding_models (
    model_id integer generated always as identity primary key,
    name text not null unique check (btrim(name) <> ''),
    provider text not null,
    version text not null default '1',
    dimensions integer not null check (dimensions between 1 and 4000),
    gateway text references loci_private.gateways (gateway),
    query_prefix text not null default '',
    passage_prefix text not null default '',
    tokenizer text not null default 'cl100k',
    max_batch integer not null default 100 check (max_batch between 1 and 2048),
    max_tokens integer not null default 8191 check (max_tokens between 16 and 1000000),
    quantization text not null default 'none' check (quantization in ('none', 'binary')),
    created_at timestamptz not null default now()
);
create index on loci.embedding_models (gateway);

-- The gateway's state as each embedding model, or chat, sees it: until when to leave it alone, and why.
create table loci_private.model_health (
    subject text not null primary key generated always as (coalesce('model ' || model_id::text, 'chat ' || chat_gateway)) stored,
    model_id integer unique references loci.embedding_models (model_id) on delete cascade,
    chat_gateway text unique references loci_private.gateways (gateway) on delete cascade,
    cooldown_until timestamptz not null,
    outages integer not null default 0,
    error jsonb,
    since timestamptz not null,
    check (num_nonnulls(model_id, chat_gateway) = 1)
);

-- What embedding has cost, a row a model and day.
create table loci_private.model_usage (
    model_id integer not null references loci.embedding_models (model_id) on delete cascade,
    day date not null,
    requests bigint not null default 0,
    texts bigint not null default 0,
    tokens bigint not null default 0,
    cost_usd numeric not null default 0,
    primary key (model_id, day)
);
