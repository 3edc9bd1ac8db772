create or replace view loci.action_log with (security_barrier) as
select
    e.event_id,
    e.happened_at,
    e.event,
    e.action,
    e.proposal_id,
    e.user_id,
    e.organization_id,
    e.login,
    e.detail
from loci_private.action_events as e;
comment on view loci.action_log is
'What became of actions (registered, changed, removed) and proposals (proposed, refused, confirmed, failed, rejected), when, for whom, over which login. Nothing in it can be changed.';
grant select on loci.action_log to loci_admin;
