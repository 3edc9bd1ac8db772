create or replace function loci_private.own_proposal(proposal_id uuid)
returns loci_private.proposals
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_proposal loci_private.proposals;
begin
    select p.* into v_proposal
    from loci_private.proposals as p
    where p.proposal_id = own_proposal.proposal_id and p.user_id = loci.current_user_id()
    for update;
    if not found then
        raise exception 'there is no proposal % of yours', own_proposal.proposal_id
            using errcode = 'LC740', hint = 'select proposal_id, status, summary from loci.proposals lists them.';
    end if;
    return v_proposal;
end $$;
comment on function loci_private.own_proposal(uuid) is 'A proposal to the current user, locked; LC740 for those of others and those that do not exist.';
revoke execute on function loci_private.own_proposal(uuid) from public;
