create or replace function loci_private.principals_of(user_id uuid)
returns uuid []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function. Keys of caches are made of it: always the same order.
    return array(
        select p.principal
        from (
            select u.user_id as principal
            from loci.users as u
            where u.user_id = principals_of.user_id
            union all
            select t.team_id
            from loci.team_members as t
            where t.user_id = principals_of.user_id
        ) as p
        order by p.principal
    );
end $$;
comment on function loci_private.principals_of(uuid) is
'Whom an audience may name to reach this user, in their order: the user and their teams.';
revoke execute on function loci_private.principals_of(uuid) from public;
