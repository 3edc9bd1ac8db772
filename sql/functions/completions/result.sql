create or replace function loci.result(request_id uuid)
returns table (status text, result jsonb, error jsonb, next_attempt timestamptz)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        case
            when r.result is not null then 'done'
            when f.failure_id is not null then 'failed'
            when q.lease is not null and q.available_at > loci_private.now() then 'running'
            else 'queued'
        end,
        r.result,
        case when r.result is null then coalesce(f.error, q.last_error) - 'permanent' end,
        case when q.lease is null and q.available_at > loci_private.now() then q.available_at end
    from loci_private.requests as r
    left join loci_private.completion_queue as q on q.request_id = r.request_id
    left join loci_private.failures as f on f.request_id = r.request_id
    where r.request_id = result.request_id
        and (r.user_id = loci.current_user_id() or pg_has_role(session_user, 'loci_admin', 'member'))
        and (
            r.finished_at is null
            or r.finished_at > loci_private.now() - make_interval(hours => loci.setting('result_hours')::integer)
        );
    if not found then
        raise exception 'there is no such request of yours'
            using errcode = 'LC520', hint = 'Results expire after result_hours; only who submitted a request can read its result.';
    end if;
end $$;
comment on function loci.result(uuid) is
'How a submitted completion is doing: status queued, running, done or failed; its result as loci.complete() has it (value: what a schema asked for); the last error; when it is tried again. Only for the user who submitted it, and loci_admin; LC520 otherwise, and when it has expired.';
revoke execute on function loci.result(uuid) from public;
grant execute on function loci.result(uuid) to loci_app, loci_admin;
