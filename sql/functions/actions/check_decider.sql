create or replace function loci_private.check_decider()
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if loci_private.action_running() then
        perform loci_private.raise_error(loci_private.action_error('LC744'));
    end if;
    -- The login, not the role of the moment: neither SET ROLE nor a function of somebody else's makes it another.
    if pg_has_role(session_user, 'loci_proposer', 'member') then
        raise exception 'a login that proposes cannot decide'
            using errcode = 'LC743', detail = format('"%s" is a member of loci_proposer, or a superuser.', session_user),
            hint = 'Decide over another login: one that is a member of loci_approver and loci_app, and not of loci_proposer.';
    end if;
end $$;
comment on function loci_private.check_decider() is
'Whoever may propose in the name of a model may not confirm or reject (LC743), whatever else was granted to that login; nor may an action (LC744).';
revoke execute on function loci_private.check_decider() from public;
