create or replace function loci_private.doctor_privileges()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with present as materialized (
        select p.kind, p.object, p.detail, p.removes from loci_private.present_objects() as p
    )
    select case when i.kind in ('privilege', 'index') then 'warning' else 'error' end,
        case when i.kind in ('privilege', 'owner', 'row security', 'policy') then 'privileges' else 'objects' end, i.object,
        case i.kind
            when 'privilege' then format('the right %s is missing', i.detail)
            when 'owner' then format('it does not belong to %s', i.detail)
            when 'row security' then 'row security is turned off: everybody with a right on the table sees all of it'
            when 'policy' then format('the policy %s is missing or was changed', split_part(i.detail, ' ', 1))
            when 'index' then format('the index %s is missing', i.detail)
            when 'trigger' then format('the trigger %s is missing or disabled', i.detail)
            when 'constraint' then format('the constraint %s is missing', i.detail)
            else 'it is missing'
        end,
        case
            when i.kind = 'trigger' and g.tgname is not null then format('alter table %s enable trigger %I;', i.object, g.tgname)
            else i.remedy
        end
    from loci_private.installed_objects as i
    left join pg_trigger as g
        on i.kind = 'trigger' and g.tgname = i.detail
        and g.tgrelid = to_regclass(case i.kind when 'trigger' then i.object end)
    where not exists (select from present as p where (p.kind, p.object, p.detail) = (i.kind, i.object, i.detail))
        -- Where the thing itself is gone, that says it all.
        and (
            i.kind in ('table', 'function')
            or not exists (
                select from loci_private.installed_objects as t
                where t.kind in ('table', 'function')
                    and t.object in (i.object, substring(i.object from '^(?:table|sequence) (.*)$'))
                    and not exists (select from present as p where p.kind = t.kind and p.object = t.object)
            )
        )
    union all
    -- What a DBA grants to roles of his own is his affair.
    select case when p.detail ~ ' to public$' then 'error' when p.detail ~ ' to loci_[a-z]+$' then 'warning' else 'note' end,
        'privileges', p.object, format('a right that Loci did not give: %s', p.detail), p.removes
    from present as p
    where p.kind = 'privilege'
        and not exists (
            select from loci_private.installed_objects as i where (i.kind, i.object, i.detail) = (p.kind, p.object, p.detail)
        );
    return query
    select 'error', 'privileges', r.rolname::text, 'a group role has rights of its own, or may log in',
        format('alter role %I nologin noinherit nosuperuser nocreaterole nocreatedb nobypassrls noreplication;', r.rolname)
    from pg_roles as r
    where r.rolname in ('loci_owner', 'loci_app', 'loci_admin', 'loci_worker', 'loci_monitor', 'loci_proposer', 'loci_approver')
        and (r.rolcanlogin or r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolbypassrls or r.rolreplication);
    return query
    select 'error', 'privileges', m.member::regrole::text,
        case
            when m.roleid = 'loci_owner'::regrole then 'it is a member of loci_owner, and so a superuser in the end'
            else 'it acts for an application and is above row security'
        end,
        case
            when m.roleid = 'loci_owner'::regrole then format('revoke loci_owner from %s;', m.member::regrole)
            else format('alter role %s nosuperuser nobypassrls;', m.member::regrole)
        end
    from pg_auth_members as m
    join pg_roles as r on r.oid = m.member
    where m.roleid = 'loci_owner'::regrole
        -- Who installs Loci is a superuser anyway.
        or (m.roleid = 'loci_app'::regrole and (r.rolbypassrls or r.rolsuper) and r.rolcanlogin);
end $$;
comment on function loci_private.doctor_privileges() is
'What loci.doctor() has to say about rights and objects that differ from what was installed: row security, policies, functions of PUBLIC, roles; indexes, triggers, functions that are missing.';
revoke execute on function loci_private.doctor_privileges() from public;
