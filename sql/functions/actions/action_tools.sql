create or replace function loci_private.action_tools(organization_id uuid)
returns jsonb
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function.
    return (
        select coalesce(jsonb_agg(
            jsonb_build_object(
                'type', 'function',
                'function', jsonb_build_object('name', a.name, 'description', a.description, 'parameters', a.parameters)
            ) order by a.name
        ), '[]')
        from (
            select u.*
            from loci_private.usable_actions(loci.current_user_id(), action_tools.organization_id) as u
            where pg_has_role(session_user, 'loci_proposer', 'member')
                -- What can only be refused is not offered.
                and loci_private.registered_function(u) is not null
            order by u.name
            -- As many as a request may have.
            limit 128
        ) as a
    );
end $$;
comment on function loci_private.action_tools(uuid) is
'What a model is offered in the name of the current user, as tools of a request; none to logins that are no loci_proposer.';
revoke execute on function loci_private.action_tools(uuid) from public;
