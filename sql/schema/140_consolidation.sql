-- What Loci itself has to ask a model, beside what was submitted: to summarise a conversation, or to condense what was
-- evicted from a scope. At most one request each. The texts are read when the request is claimed; basis says what was read.
alter table loci_private.requests
add column conversation_id uuid references loci.conversations (conversation_id) on delete cascade,
add column condensed_scope uuid references loci_private.scopes (scope_id) on delete cascade,
add column basis jsonb;
create unique index requests_conversation on loci_private.requests (conversation_id);
create unique index requests_condensed_scope on loci_private.requests (condensed_scope);

-- The summary in parts, oldest first: {messages, text, removed}; removed: the messages are gone on purpose.
alter table loci_private.summaries add column parts jsonb not null default '[]' check (jsonb_typeof(parts) = 'array');
create index messages_unsummarized on loci.messages (conversation_id) where summarized_at is null;

-- Memories that were evicted and wait to be condensed into one; a bounded number of each scope. lineage: [{source, key, consumed}].
create table loci_private.evicted_memories (
    memory_id bigint not null primary key,
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    audience uuid[],
    content text not null,
    stated boolean not null,
    created_by uuid references loci.users (user_id) on delete set null,
    lineage jsonb not null,
    evicted_at timestamptz not null
);
create index on loci_private.evicted_memories (scope_id, evicted_at);
create index on loci_private.evicted_memories (created_by);
create index on loci_private.evicted_memories using gin (lineage jsonb_path_ops);
