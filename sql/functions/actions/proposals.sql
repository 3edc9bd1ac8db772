create or replace view loci.proposals with (security_barrier) as
select
    p.proposal_id,
    loci.proposal_status(p.status, p.expires_at) as status,
    p.action,
    p.summary,
    p.arguments,
    p.removed,
    p.reason,
    p.result,
    p.error,
    p.user_id,
    p.organization_id,
    p.conversation_id,
    p.turn_id,
    p.proposed_at,
    p.proposed_by,
    p.expires_at,
    p.decided_at,
    p.decided_by
from loci_private.proposals as p
where p.user_id = (select loci.current_user_id()) or pg_has_role(session_user, 'loci_admin', 'member');
comment on view loci.proposals is
'What was proposed to the current user and what became of it: proposed, confirmed, failed, rejected, refused (could not be proposed, or not run any more) or expired. summary and arguments are exactly what is run; removed: how many invisible characters were taken out before. loci_admin sees all.';
grant select on loci.proposals to loci_app, loci_admin;
