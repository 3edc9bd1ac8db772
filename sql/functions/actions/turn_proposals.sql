create or replace function loci_private.turn_proposals(turn_id uuid)
returns jsonb
language plpgsql volatile parallel restricted
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((
        select jsonb_agg(
            jsonb_build_object(
                'proposal_id', p.proposal_id, 'action', p.action, 'summary', p.summary, 'arguments', p.arguments,
                'removed', p.removed, 'status', loci.proposal_status(p.status, p.expires_at), 'reason', p.reason,
                'expires_at', p.expires_at
            ) order by p.proposed_at, p.proposal_id
        )
        from loci_private.proposals as p
        where p.turn_id = turn_proposals.turn_id and p.user_id = loci.current_user_id()
    ), '[]');
end $$;
comment on function loci_private.turn_proposals(uuid) is 'What a turn has proposed to the current user.';
revoke execute on function loci_private.turn_proposals(uuid) from public;
