-- Rows in every table, small: what a dump of a release holds (make release-dump). Run by psql as a superuser in an empty installation.
\set ON_ERROR_STOP on
set client_min_messages = warning;
begin;
select loci.add_embedding_model('hash', provider => 'hash', dimensions => 64);
select loci.use_embedding_model('hash');
update loci.settings set value = '7' where name = 'split_batch';
select loci.add_gateway('far', 'http://127.0.0.1:9/v1', api_key_ref => 'env:FAR_KEY');
insert into loci.model_prices (model, input_usd, output_usd) values ('chat', 1, 2);

insert into loci.users (email) values ('ada@example.org'), ('bob@example.org'), ('eve@example.org');
insert into loci.organizations (name, chat_model, budget_usd_month, settings)
values ('Acme', 'chat', 100, '{"redact": true}'), ('Umbrella', null, null, '{}');
insert into loci.organization_members (organization_id, user_id, role)
select o.organization_id, u.user_id, case u.email when 'ada@example.org' then 'owner' else 'member' end
from loci.organizations as o
join loci.users as u on (o.name = 'Acme') = (u.email in ('ada@example.org', 'bob@example.org'));
insert into loci.teams (organization_id, name) select o.organization_id, 'crew' from loci.organizations as o where o.name = 'Acme';
insert into loci.team_members (organization_id, team_id, user_id)
select t.organization_id, t.team_id, u.user_id from loci.teams as t cross join loci.users as u where u.email = 'bob@example.org';
insert into loci.projects (organization_id, name, visibility) select o.organization_id, 'closed', 'private' from loci.organizations as o where o.name = 'Acme';
insert into loci.project_members (organization_id, project_id, user_id)
select p.organization_id, p.project_id, u.user_id from loci.projects as p cross join loci.users as u where u.email = 'ada@example.org';
insert into loci.documents (scope_id, content, title, metadata)
select o.organization_id, 'the harbour has a green light, number ' || n, 'light ' || n, '{"kind": "light"}'
from loci.organizations as o cross join generate_series(1, 12) as n
where o.name = 'Acme';
insert into loci.documents (scope_id, content) select p.project_id, 'the harbour has a secret' from loci.projects as p;
insert into loci.documents (scope_id, content, audience)
select o.organization_id, 'the harbour has a place for bob alone', array[u.user_id]
from loci.organizations as o cross join loci.users as u
where o.name = 'Acme' and u.email = 'bob@example.org';

create table public.tickets (region text, id int, body text, place uuid, primary key (region, id)) partition by list (region);
create table public.tickets_n partition of public.tickets for values in ('n');
select loci.watch('public.tickets', content => 'body', scope => 'place', name => 'tickets');
insert into public.tickets select 'n', n, 'the card was refused, ticket ' || n, o.organization_id
from loci.organizations as o cross join generate_series(1, 12) as n
where o.name = 'Acme';

create table public.orders (title text);
insert into public.orders (title) values ('coffee');
create function public.place_order(arguments jsonb) returns jsonb
language sql
begin atomic
    insert into public.orders (title) values (arguments ->> 'title') returning to_jsonb(title);
end;
select loci.register_action(
    'place_order', 'Order something.', '{"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}',
    'public.place_order(jsonb)'
);
insert into loci.conversations (user_id, title) select u.user_id, 'about the harbour' from loci.users as u where u.email = 'ada@example.org';
insert into loci.messages (conversation_id, role, content)
select c.conversation_id, m.role, m.content
from loci.conversations as c
cross join (values ('user', 'which light?'), ('assistant', 'the green one [1]')) as m (role, content);
commit;
call loci.drain();

begin;
select loci.act_as(u.user_id) from loci.users as u where u.email = 'ada@example.org';
select loci.remember('the harbour light is green', derived_from => jsonb_build_array(jsonb_build_object('source', 'documents', 'key', d.document_id)))
from loci.documents as d where d.title = 'light 1';
select loci.propose('place_order', '{"title": "tea"}');
select loci.set_capacity('user', 50);
insert into loci_private.memory_capacities (scope_id, capacity) select u.user_id, 40 from loci.users as u where u.email = 'bob@example.org';
insert into loci_private.turns (conversation_id, user_id, question_id, answer_id, status, passages, begun_at, finished_at)
select c.conversation_id, c.user_id, min(m.message_id), max(m.message_id), 'complete', '[]', now(), now()
from loci.conversations as c join loci.messages as m using (conversation_id)
group by c.conversation_id;
insert into loci_private.citations (message_id, number, source, key, chunk_id)
select m.message_id, 1, 'documents', r.key, c.chunk_id
from loci.messages as m
cross join loci_private.chunks as c
join loci_private.source_rows as r using (row_id)
where m.role = 'assistant' and r.title = 'light 1';
insert into loci_private.summaries (conversation_id, summary, up_to, written_at)
select m.conversation_id, 'about a light', max(m.message_id), now() from loci.messages as m group by 1;
insert into loci_private.evicted_memories (memory_id, scope_id, content, stated, lineage, evicted_at)
select 1000000, u.user_id, 'long ago', true, '[]', now() from loci.users as u where u.email = 'bob@example.org';
select loci_private.add_call_partition(current_date);
insert into loci_private.requests (organization_id, user_id, request, submitted_at)
select o.organization_id, u.user_id, '{"messages": []}', now()
from loci.organizations as o cross join loci.users as u where o.name = 'Acme' and u.email = 'ada@example.org';
insert into loci_private.completion_queue (request_id, available_at) select r.request_id, 'infinity' from loci_private.requests as r;
insert into loci_private.calls (
    call_id, request_id, called_at, organization_id, user_id, purpose, gateway, model, fallback, status, tokens_in, tokens_out,
    cost_usd, cost_estimated, latency_ms
)
select gen_random_uuid(), r.request_id, now(), r.organization_id, r.user_id, 'test', 'far', 'chat', false, 'ok', 1, 2, 0.5, false, 10
from loci_private.requests as r;
insert into loci_private.spending (organization_id, month, cost_usd)
select c.organization_id, date_trunc('month', now())::date, c.cost_usd from loci_private.calls as c;
insert into loci_private.call_texts (call_id, called_at, messages) select c.call_id, c.called_at, '[]' from loci_private.calls as c;
insert into loci_private.model_usage (model_id, day, requests, texts, tokens)
select m.model_id, current_date, 1, 2, 3 from loci.embedding_models as m where m.name = 'hash';
insert into loci_private.model_health (model_id, cooldown_until, outages, since)
select m.model_id, now(), 1, now() from loci.embedding_models as m where m.name = 'hash';
insert into loci_private.failures (stage, source_id, key, op, attempts, error, enqueued_at, failed_at)
select 'split', s.source_id, 'gone', 'upsert', 4, '{"message": "it was poisonous"}', now(), now()
from loci_private.sources as s where s.name = 'documents';
insert into loci_private.metric_series (metric, labels, own, observed, total, last_value, buckets)
values ('tickets_total', '{"agent": "first"}', false, 2, 3, 1, '{}');
insert into loci_private.forgotten (user_hash, forgotten_at) values (sha256('somebody'), now());
insert into loci_private.erasures (erased_at, kind, by_administrator, report) values (now(), 'user', true, '[]');
-- What is under way: changes that wait, some in bulk, some held by a drain.
insert into public.tickets select 'n', n, 'written before the upgrade, ticket ' || n, o.organization_id
from loci.organizations as o cross join generate_series(101, 140) as n
where o.name = 'Acme';
insert into loci_private.embed_queue (model_id, chunk_id)
select m.model_id, min(c.chunk_id) from loci.embedding_models as m cross join loci_private.chunks as c where m.name = 'hash' group by 1;
insert into loci_private.leases (lease, pid, backend_start) values (gen_random_uuid(), 1, now());
update loci_private.row_queue set lease = l.lease, leased_at = now(), attempts = 1
from loci_private.leases as l where queue_id = (select min(queue_id) from loci_private.row_queue);
insert into loci_private.text_changes (scope_id, chunks) select o.organization_id, 1 from loci.organizations as o where o.name = 'Acme';
commit;
