create or replace view loci.actions with (security_barrier) as
select
    a.name,
    a.description,
    a.parameters,
    a.function_name,
    a.enabled,
    a.organizations,
    a.member_roles,
    a.expires_seconds,
    a.registered_by,
    a.registered_at
from loci_private.actions as a;
comment on view loci.actions is 'Actions that models may propose, and for whom.';
grant select on loci.actions to loci_admin;
