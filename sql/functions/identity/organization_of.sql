create or replace function loci_private.organization_of(scope_id uuid)
returns uuid
-- Not in SQL: that would be planned anew by every statement of the applications' transactions that it is part of.
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case
            when s.kind = 'user' then (
                select m.organization_id
                from loci.organization_members as m
                -- One that is being deleted may still have members.
                join loci.organizations as o on o.organization_id = m.organization_id
                where m.user_id = s.scope_id
                order by m.joined_at, m.organization_id
                limit 1
            )
            else s.organization_id
        end
        from loci_private.scopes as s
        where s.scope_id = organization_of.scope_id
    );
end $$;
comment on function loci_private.organization_of(uuid) is
'The organization whose model, budget and redaction apply to a scope; for a user the one joined first.';
revoke execute on function loci_private.organization_of(uuid) from public;
