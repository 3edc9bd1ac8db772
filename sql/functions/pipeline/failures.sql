create or replace view loci.failures as
select
    'parked' as state,
    f.stage,
    s.name as source,
    f.key,
    m.name as model,
    f.attempts,
    f.error ->> 'sqlstate' as code,
    f.error ->> 'message' as message,
    f.error ->> 'detail' as detail,
    f.failed_at as since,
    null::timestamptz as next_attempt,
    f.error ->> 'hint' as hint
from loci_private.failures as f
left join loci_private.sources as s on s.source_id = f.source_id
left join loci.embedding_models as m on m.model_id = f.model_id
where f.stage = 'complete' or s.source_id is not null
union all
select
    'retrying',
    q.stage,
    q.source,
    q.key,
    q.model,
    q.attempts,
    q.last_error ->> 'sqlstate',
    q.last_error ->> 'message',
    q.last_error ->> 'detail',
    q.enqueued_at,
    nullif(q.available_at, '-infinity'),
    q.last_error ->> 'hint'
from (
    select 'split' as stage, s.name as source, r.key, null as model, r.attempts, r.last_error, r.enqueued_at, r.available_at
    from loci_private.row_queue as r
    join loci_private.sources as s on s.source_id = r.source_id
    union all
    select 'embed', s.name, r.key, m.name, e.attempts, e.last_error, e.enqueued_at, e.available_at
    from loci_private.embed_queue as e
    join loci_private.chunks as c on c.chunk_id = e.chunk_id
    join loci_private.source_rows as r on r.row_id = c.row_id
    join loci_private.sources as s on s.source_id = r.source_id
    join loci.embedding_models as m on m.model_id = e.model_id
    union all
    select 'complete', null, c.request_id::text, null, c.attempts, c.last_error, c.enqueued_at, c.available_at
    from loci_private.completion_queue as c
) as q
where q.last_error is not null
union all
select
    'broken',
    'source',
    s.name,
    null,
    null,
    null,
    null,
    s.broken_error,
    null,
    s.broken_since,
    null,
    'Alter the table back, or unwatch() it and watch() it as it is now; then select loci.reconcile().'
from loci_private.sources as s
where s.broken_since is not null
union all
select
    'waiting',
    'gateway',
    null,
    h.chat_gateway,
    m.name,
    h.outages,
    h.error ->> 'sqlstate',
    h.error ->> 'message',
    h.error ->> 'detail',
    h.since,
    h.cooldown_until,
    h.error ->> 'hint'
from loci_private.model_health as h
left join loci.embedding_models as m on m.model_id = h.model_id
where h.outages > 0;
comment on view loci.failures is
'Work that failed: parked until loci.retry_failures() or a change of its row; retrying by itself; a source whose table cannot be read any more; or all of a model, or all submitted completions (key: the gateway), waiting for a gateway.';
grant select on loci.failures to loci_admin, loci_monitor;
