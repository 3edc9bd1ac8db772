create or replace function loci_private.action_results(conversation_id uuid)
returns setof text
language plpgsql volatile parallel restricted
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- Of the turn before the last one: a confirmation may have been committed later than its time says.
    v_since timestamptz := coalesce((
        select t.begun_at
        from loci_private.turns as t
        where t.conversation_id = action_results.conversation_id
        order by t.begun_at desc
        offset 1 limit 1
    ), '-infinity');
begin
    return query
    select r.line
    from (
        select s.at, p.proposal_id,
            format(
                '%s UTC: %s(%s) %s', to_char(s.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), p.action, left(p.arguments::text, 300),
                case s.status
                    when 'confirmed' then 'was confirmed and done; result: ' || left(coalesce(p.result::text, 'null'), 500)
                    when 'failed' then 'was confirmed and failed; nothing was changed: ' || left(p.reason, 300)
                    when 'rejected' then 'was rejected by the user' || coalesce(': ' || left(to_jsonb(p.reason)::text, 300), '')
                    when 'refused' then 'could not be proposed or run: ' || left(p.reason, 300)
                    when 'expired' then 'expired without an answer'
                    else 'waits for the user to confirm it'
                end
            ) as line
        from loci_private.proposals as p
        cross join lateral (select loci.proposal_status(p.status, p.expires_at) as status) as v
        cross join lateral (
            select v.status, case v.status
                when 'proposed' then p.proposed_at
                when 'expired' then p.expires_at
                else p.decided_at
            end as at
        ) as s
        where p.conversation_id = action_results.conversation_id and p.user_id = loci.current_user_id()
            and (s.at >= v_since or s.status = 'proposed')
        order by s.at desc, p.proposal_id
        limit 20
    ) as r
    order by r.at, r.proposal_id;
end $$;
comment on function loci_private.action_results(uuid) is
'What became of the proposals of a conversation lately, a line each, for the model: since the turn before the last one, and what still waits; 20 at most.';
revoke execute on function loci_private.action_results(uuid) from public;
