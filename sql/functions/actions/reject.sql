create or replace function loci.reject(proposal_id uuid, reason text default null)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_proposal loci_private.proposals;
begin
    perform loci_private.check_decider();
    v_proposal := loci_private.own_proposal(reject.proposal_id);
    if v_proposal.status = 'confirmed' then
        raise exception 'the proposal was confirmed, and has run'
            using errcode = 'LC742', detail = format('By "%s" at %s.', v_proposal.decided_by, v_proposal.decided_at),
            hint = 'What it did has to be undone by other means.';
    end if;
    update loci_private.proposals as p
    set status = 'rejected', reason = left(loci_private.visible_text(reject.reason), 1000), decided_at = loci_private.now(),
        decided_by = session_user
    where p.proposal_id = reject.proposal_id and p.status = 'proposed';
    return found;
end $$;
comment on function loci.reject(uuid, text) is
'Decline a proposal to the current user; the model is told the reason in the next turn. False when it can do nothing any more anyway. LC740, LC742 when it has run, LC743, LC744.';
revoke execute on function loci.reject(uuid, text) from public;
grant execute on function loci.reject(uuid, text) to loci_approver;
