create or replace function loci_private.store_proposal(
    action text,
    arguments jsonb,
    organization_id uuid,
    conversation_id uuid,
    turn_id uuid,
    call_id text,
    refusable boolean,
    error jsonb default null
)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_user uuid := loci.current_user_id();
    v_now timestamptz := loci_private.now();
    v_name text := left(loci_private.visible_text(coalesce(store_proposal.action, '')), 64);
    v_action loci_private.actions;
    v_review jsonb;
    v_error jsonb;
    v_proposal uuid;
begin
    select a.* into v_action
    from loci_private.usable_actions(v_user, store_proposal.organization_id) as a
    where a.name = store_proposal.action;
    if store_proposal.error is not null then
        v_error := store_proposal.error;
    elsif v_user is null then
        v_error := loci_private.action_error('LC739');
    elsif loci_private.action_running() then
        v_error := loci_private.action_error('LC744');
    elsif not pg_has_role(session_user, 'loci_proposer', 'member') then
        v_error := loci_private.action_error('LC750');
    elsif v_action.name is null then
        v_error := loci_private.action_error('LC733');
    elsif loci_private.registered_function(v_action) is null then
        v_error := loci_private.action_error('LC734');
    elsif octet_length(store_proposal.arguments::text) > loci.setting('action_max_bytes')::integer then
        v_error := loci_private.action_error('LC736');
    elsif (
        select count(*) from loci_private.proposals as p
        where p.user_id = v_user and p.status = 'proposed' and p.expires_at > v_now
    ) >= loci.setting('max_open_proposals')::integer then
        v_error := loci_private.action_error('LC738');
    else
        v_review := loci_private.review_arguments(
            v_action.parameters, coalesce(store_proposal.arguments, 'null'), v_action.name || ': ' || v_action.description
        );
        v_error := v_review -> 'error';
    end if;
    if v_error is not null and not (store_proposal.refusable and v_user is not null) then
        return jsonb_build_object('error', v_error);
    end if;
    insert into loci_private.proposals (
        user_id, organization_id, conversation_id, turn_id, call_id, action, pin, arguments, summary, removed, status, error,
        reason, proposed_at, proposed_by, expires_at, decided_at
    )
    values (
        v_user, store_proposal.organization_id, store_proposal.conversation_id, store_proposal.turn_id,
        left(loci_private.visible_text(store_proposal.call_id), 200), v_name, v_action.pin,
        -- What was refused is not shown as if it could be confirmed: it was not made fit for that.
        coalesce(v_review -> 'arguments', '{}'), coalesce(v_review ->> 'summary', v_name),
        coalesce((v_review ->> 'removed')::integer, 0), case when v_error is null then 'proposed' else 'refused' end, v_error,
        nullif(concat_ws(': ', v_error ->> 'message', nullif(v_error ->> 'detail', '')), ''), v_now, session_user,
        v_now + make_interval(secs => coalesce(v_action.expires_seconds, loci.setting('proposal_seconds')::integer)),
        case when v_error is not null then v_now end
    )
    returning proposals.proposal_id into v_proposal;
    return jsonb_build_object('proposal_id', v_proposal);
end $$;
comment on function loci_private.store_proposal(text, jsonb, uuid, uuid, uuid, text, boolean, jsonb) is
'Store a proposal for the current user. What cannot be proposed is stored as refused, with its reason, or (not refusable) returned as {"error": ...}. error: already known to be wrong.';
revoke execute on function loci_private.store_proposal(text, jsonb, uuid, uuid, uuid, text, boolean, jsonb) from public;
