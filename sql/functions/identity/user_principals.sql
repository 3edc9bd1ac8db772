create or replace view loci_private.user_principals as
select
    u.user_id,
    u.user_id as principal
from loci.users as u
union all
select
    t.user_id,
    t.team_id
from loci.team_members as t;
comment on view loci_private.user_principals is 'Whom an audience may name to reach each user: the user and their teams.';
