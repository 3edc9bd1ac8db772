create or replace view loci.calls with (security_barrier) as
select c.*
from loci_private.calls as c
where (select loci.sees_all_calls()) or c.organization_id = any((select loci.managed_organizations())::uuid [])
union all
select r.*
from loci.recent_calls() as r;
comment on view loci.calls is
'Every call of a chat model: who, for what, which model, tokens, cost, time, outcome (ok, error, cancelled, lost, running); also of transactions that were rolled back. Owners and admins of an organization see its calls.';
grant select on loci.calls to loci_app, loci_admin, loci_monitor;
