create or replace function loci.confirm_step(proposal_id uuid, outcome jsonb)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := loci_private.now();
    v_proposal loci_private.proposals;
    v_action loci_private.actions;
    v_status text;
    v_error jsonb;
    v_function oid;
begin
    if not loci_private.in_confirm(confirm_step.proposal_id) then
        raise exception 'this is a part of loci.confirm()'
            using errcode = 'LC745', hint = 'select * from loci.confirm(proposal_id).';
    end if;
    perform loci_private.check_decider();
    -- Whoever confirms at the same time waits here, and then finds what came of it.
    v_proposal := loci_private.own_proposal(confirm_step.proposal_id);
    v_status := loci.proposal_status(v_proposal.status, v_proposal.expires_at);
    select a.* into v_action
    from loci_private.usable_actions(v_proposal.user_id, v_proposal.organization_id) as a
    where a.name = v_proposal.action;
    v_function := loci_private.registered_function(v_action);
    if v_action.name is null then
        v_error := loci_private.action_error('LC733');
    elsif v_proposal.pin is distinct from v_action.pin or v_function is null then
        v_error := loci_private.action_error('LC734');
    end if;
    if confirm_step.outcome is null then
        if v_status = 'rejected' then
            raise exception 'the proposal was rejected'
                using errcode = 'LC742', detail = format('By "%s" at %s.', v_proposal.decided_by, v_proposal.decided_at),
                hint = 'Have it proposed again.';
        elsif v_status = 'expired' then
            raise exception 'the proposal has expired'
                using errcode = 'LC741', detail = format('At %s.', v_proposal.expires_at), hint = 'Have it proposed again.';
        elsif v_status <> 'proposed' then
            return jsonb_build_object('status', v_status, 'result', v_proposal.result, 'error', v_proposal.error);
        end if;
        -- The schema may have been changed since.
        v_error := coalesce(
            v_error, loci_private.review_arguments(v_action.parameters, v_proposal.arguments, v_action.name) -> 'error'
        );
        if v_error is null then
            return (
                select jsonb_build_object(
                    'arguments', v_proposal.arguments, 'void', p.prorettype = 'void'::regtype,
                    'run', format(
                        case when p.prorettype = 'void'::regtype then 'select %I.%I($1) as result'
                            else 'select pg_catalog.to_jsonb(%I.%I($1)) as result' end,
                        n.nspname, p.proname
                    )
                )
                from pg_proc as p
                join pg_namespace as n on n.oid = p.pronamespace
                where p.oid = v_function
            );
        end if;
        v_status := 'refused';
    elsif confirm_step.outcome ? 'error' then
        v_status := 'failed';
        v_error := confirm_step.outcome -> 'error';
    else
        -- Raised while what the action did can still be undone: it was not what the user confirmed.
        if v_error is not null then
            perform loci_private.raise_error(v_error);
        end if;
        if octet_length(confirm_step.outcome::text) > loci.setting('action_result_bytes')::integer then
            raise exception 'the action''s result is too long'
                using errcode = 'LC747', detail = format('action_result_bytes is %s.', loci.setting('action_result_bytes')),
                hint = 'Let the function return what the next answer needs, and no more.';
        end if;
        v_status := 'confirmed';
    end if;
    update loci_private.proposals as p
    set status = v_status, result = confirm_step.outcome -> 'result', error = v_error,
        reason = nullif(concat_ws(': ', v_error ->> 'message', nullif(v_error ->> 'detail', '')), ''), decided_at = v_now,
        decided_by = session_user
    where p.proposal_id = confirm_step.proposal_id;
    return jsonb_build_object('status', v_status, 'result', confirm_step.outcome -> 'result', 'error', v_error);
end $$;
comment on function loci.confirm_step(uuid, jsonb) is
'The bookkeeping of loci.confirm(), which alone can call it (LC745): outcome null: what is to be run, if anything; else what came of it. LC740 to LC747.';
revoke execute on function loci.confirm_step(uuid, jsonb) from public;
grant execute on function loci.confirm_step(uuid, jsonb) to loci_approver;
