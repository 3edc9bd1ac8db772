create or replace function loci_private.scopes_of(user_id uuid)
returns uuid []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function. Keys of caches are made of it: always the same order. No view in it:
    -- pg_dump lets none be read while row-level security is on, and policies call this.
    return array(
        select s.scope_id
        from (
            select u.user_id as scope_id
            from loci.users as u
            where u.user_id = scopes_of.user_id
            union all
            select m.organization_id
            from loci.organization_members as m
            where m.user_id = scopes_of.user_id
            union all
            -- Each by an index of its own: an organization may have thousands of projects that this user does not see.
            (
                select p.project_id
                from loci.organization_members as m
                join loci.projects as p on p.organization_id = m.organization_id
                where m.user_id = scopes_of.user_id and p.visibility = 'organization'
                union
                select p.project_id
                from loci.organization_members as m
                join loci.team_members as t on t.organization_id = m.organization_id and t.user_id = m.user_id
                join loci.projects as p on p.organization_id = t.organization_id and p.team_id = t.team_id
                where m.user_id = scopes_of.user_id and p.visibility = 'team'
                union
                select x.project_id
                from loci.organization_members as m
                join loci.project_members as x on x.organization_id = m.organization_id and x.user_id = m.user_id
                where m.user_id = scopes_of.user_id
            )
        ) as s
        order by s.scope_id
    );
end $$;
comment on function loci_private.scopes_of(uuid) is
'Scopes a user may see, in their order: the user, their organizations, and the projects open to the organization, to their teams, or to them by name. Empty for an unknown user.';
revoke execute on function loci_private.scopes_of(uuid) from public;
