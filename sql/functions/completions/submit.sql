create or replace function loci.submit(
    messages jsonb,
    purpose text default 'general',
    schema jsonb default null,
    tools jsonb default null,
    tool_choice jsonb default null,
    organization_id uuid default null,
    traceparent text default null
)
returns uuid
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_organization uuid := loci_private.chat_organization(submit.organization_id);
    v_user uuid := loci.current_user_id();
    v_request jsonb := jsonb_strip_nulls(jsonb_build_object('purpose', submit.purpose, 'traceparent', submit.traceparent))
        || jsonb_build_object('messages', submit.messages, 'schema', submit.schema, 'tools', submit.tools,
            'tool_choice', submit.tool_choice);
    v_most integer := loci.setting('max_waiting_requests')::integer;
    v_wrong jsonb;
    v_id uuid;
begin
    v_wrong := loci_private.check_request(v_request);
    if v_wrong is not null then
        perform loci_private.raise_error(v_wrong);
    end if;
    if pg_column_size(v_request) > loci.setting('chat_max_bytes')::integer then
        raise exception 'the request is too large'
            using errcode = 'LC518', hint = format('The setting chat_max_bytes allows %s.', loci.setting('chat_max_bytes'));
    end if;
    if (
        select count(*) from (
            select from loci_private.requests as r
            where r.user_id is not distinct from v_user and r.finished_at is null
            limit v_most
        ) as w
    ) >= v_most then
        raise exception 'too many requests of this user are waiting'
            using errcode = 'LC514', detail = format('The limit is %s.', v_most),
            hint = 'Wait for some of them; as loci_admin, raise the setting max_waiting_requests.';
    end if;
    insert into loci_private.requests (organization_id, user_id, request, submitted_at)
    values (v_organization, v_user, v_request, loci_private.now())
    returning request_id into v_id;
    insert into loci_private.completion_queue (request_id) values (v_id);
    return v_id;
end $$;
comment on function loci.submit(jsonb, text, jsonb, jsonb, jsonb, uuid, text) is
'Queue a completion (with a schema: of a JSON value) and return its request id. The next loci.drain() asks the model, waits for limits, and tries again after failures; loci.result() has the answer, and NOTIFY loci_completions says when. Bad arguments are refused at once, LC514 when too many wait already.';
revoke execute on function loci.submit(jsonb, text, jsonb, jsonb, jsonb, uuid, text) from public;
grant execute on function loci.submit(jsonb, text, jsonb, jsonb, jsonb, uuid, text) to loci_app, loci_admin;
