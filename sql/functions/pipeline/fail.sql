create or replace function loci_private.fail(queue text, lease uuid, queue_ids bigint [], error jsonb)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
    v_failed bigint[];
    v_requests uuid[];
begin
    -- Only what this lease still holds: others may have taken the rest over.
    execute format(
        'with failed as (
            update loci_private.%1$I as q
            set lease = null, leased_at = null, attempts = q.attempts + 1, last_error = $3,
                available_at = $4 + loci_private.backoff(q.attempts + 1)
            where q.queue_id in (
                select w.queue_id from loci_private.%1$I as w
                where w.queue_id = any($1) and w.lease = $2
                for update of w skip locked
            )
            returning q.queue_id
        )
        select array_agg(f.queue_id) from failed as f', fail.queue
    ) into v_failed using fail.queue_ids, fail.lease, fail.error, v_now;

    if fail.queue = 'row_queue' then
        with parked as (
            delete from loci_private.row_queue as q
            where q.queue_id = any(v_failed)
                -- A mark that hides rows stays until it is worked off.
                and (
                    fail.error @> '{"permanent": true}'
                    or (q.op in ('upsert', 'scan') and q.attempts >= loci.setting('max_attempts')::integer)
                )
            returning q.*
        )
        insert into loci_private.failures (stage, source_id, key, op, attempts, error, enqueued_at, failed_at)
        select 'split', p.source_id, p.key, p.op, p.attempts, p.last_error, p.enqueued_at, v_now
        from parked as p;
    elsif fail.queue = 'completion_queue' then
        with parked as (
            delete from loci_private.completion_queue as q
            where q.queue_id = any(v_failed)
                and (fail.error @> '{"permanent": true}' or q.attempts >= loci.setting('max_attempts')::integer)
            returning q.*
        ), kept as (
            insert into loci_private.failures (stage, key, request_id, attempts, error, enqueued_at, failed_at)
            select 'complete', p.request_id::text, p.request_id, p.attempts, p.last_error, p.enqueued_at, v_now
            from parked as p
            returning request_id
        ), finished as (
            update loci_private.requests as r set finished_at = v_now
            from kept as k where k.request_id = r.request_id
            returning r.request_id
        )
        select array_agg(f.request_id) into v_requests from finished as f;
        perform pg_notify('loci_completions', r.request_id::text) from unnest(v_requests) as r (request_id);
    else
        with parked as (
            delete from loci_private.embed_queue as q
            where q.queue_id = any(v_failed)
                and (fail.error @> '{"permanent": true}' or q.attempts >= loci.setting('max_attempts')::integer)
            returning q.*
        )
        insert into loci_private.failures (
            stage, source_id, key, chunk_id, model_id, attempts, error, enqueued_at, failed_at
        )
        select 'embed', r.source_id, r.key, p.chunk_id, p.model_id, p.attempts, p.last_error, p.enqueued_at, v_now
        from parked as p
        join loci_private.chunks as c on c.chunk_id = p.chunk_id
        join loci_private.source_rows as r on r.row_id = c.row_id;
    end if;
end $$;
comment on function loci_private.fail(text, uuid, bigint [], jsonb) is
'Leased work failed: retry it with backoff, or park it in loci.failures when its attempts are used up or the error is permanent.';
revoke execute on function loci_private.fail(text, uuid, bigint [], jsonb) from public;
grant execute on function loci_private.fail(text, uuid, bigint [], jsonb) to loci_worker;
