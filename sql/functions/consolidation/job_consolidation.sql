create or replace function loci_private.job_consolidation()
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wanted integer := loci.setting('consolidation_messages')::integer;
    v_condensed integer := loci.setting('condensed_memories')::integer;
    v_count bigint;
begin
    delete from loci_private.evicted_memories as e
    where e.memory_id in (
        select o.memory_id
        from loci_private.evicted_memories as o
        where v_condensed = 0 or loci_private.is_orphan(o.stated, o.lineage)
        for update skip locked
    );
    with wanted as (
        select c.conversation_id, null::uuid as condensed_scope, loci_private.payer_of(c.organization_id, c.user_id) as organization_id,
            c.user_id
        from (
            select m.conversation_id
            from loci.messages as m
            where v_wanted > 0 and m.summarized_at is null and m.status <> 'failed' and m.content ~ '\S'
            group by m.conversation_id
            having count(*) >= loci.setting('context_messages')::integer + v_wanted
        ) as m
        join loci.conversations as c on c.conversation_id = m.conversation_id
        union all
        select null, s.scope_id, loci_private.organization_of(s.scope_id), case s.kind when 'user' then s.scope_id end
        from (
            select distinct e.scope_id
            from loci_private.evicted_memories as e
            where v_condensed > 0
            group by e.scope_id, e.audience
            having count(*) >= v_condensed
        ) as e
        join loci_private.scopes as s on s.scope_id = e.scope_id
    ), added as (
        insert into loci_private.requests (organization_id, user_id, request, conversation_id, condensed_scope, submitted_at)
        select w.organization_id, w.user_id, '{"purpose": "consolidation"}', w.conversation_id, w.condensed_scope, loci_private.now()
        from wanted as w
        left join loci.organizations as o on o.organization_id = w.organization_id
        -- Where nobody can be asked nothing waits.
        where coalesce(nullif(btrim(o.chat_model), ''), loci.setting('chat_model')) is not null
        on conflict do nothing
        returning request_id
    )
    insert into loci_private.completion_queue (request_id)
    select a.request_id from added as a;
    get diagnostics v_count = row_count;
    perform loci_private.log_event('job', jsonb_build_object('job', 'loci consolidation', 'queued', v_count));
    return v_count;
end $$;
comment on function loci_private.job_consolidation() is
'Queue conversations that have grown long, and scopes with many evicted memories, for the drain to summarise; returns how many.';
revoke execute on function loci_private.job_consolidation() from public;
grant execute on function loci_private.job_consolidation() to loci_worker;
