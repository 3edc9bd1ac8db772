create or replace function loci_private.principals_of(user_id uuid)
returns uuid []
language sql stable parallel safe
as $$
    select coalesce(array_agg(p.principal), '{}')
    from (
        select u.user_id as principal
        from loci.users as u
        where u.user_id = principals_of.user_id
        union all
        select t.team_id
        from loci.team_members as t
        where t.user_id = principals_of.user_id
    ) as p
$$;
comment on function loci_private.principals_of(uuid) is 'Whom an audience may name to reach this user: the user and their teams.';
revoke execute on function loci_private.principals_of(uuid) from public;
