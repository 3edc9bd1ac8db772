create or replace view loci_private.user_scopes as
select
    u.user_id,
    u.user_id as scope_id
from loci.users as u
union all
select
    m.user_id,
    m.organization_id
from loci.organization_members as m
union all
select
    m.user_id,
    p.project_id
from loci.organization_members as m
join loci.projects as p on p.organization_id = m.organization_id
where
    p.visibility = 'organization'
    or (
        p.visibility = 'team'
        and exists (
            select from loci.team_members as t where t.team_id = p.team_id and t.user_id = m.user_id
        )
    )
    or exists (
        select from loci.project_members as x where x.project_id = p.project_id and x.user_id = m.user_id
    );
comment on view loci_private.user_scopes is
'Scopes each user may see: the user, their organizations, and the projects open to the organization, to their teams, or to them by name.';
