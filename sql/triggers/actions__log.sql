create or replace function loci_private.log_action()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_action loci_private.actions := case when tg_op = 'DELETE' then old else new end;
begin
    insert into loci_private.action_events (happened_at, event, action, user_id, login, detail)
    values (
        loci_private.now(), case tg_op when 'INSERT' then 'registered' when 'UPDATE' then 'changed' else 'removed' end,
        v_action.name, loci.current_user_id(), session_user,
        jsonb_build_object(
            'function', v_action.function_name, 'enabled', v_action.enabled, 'parameters', v_action.parameters,
            'organizations', v_action.organizations, 'member_roles', v_action.member_roles, 'pin', encode(v_action.pin, 'hex')
        )
    );
    return null;
end $$;
comment on function loci_private.log_action() is 'Every action that is registered, changed or removed is in the log.';
revoke execute on function loci_private.log_action() from public;
create or replace trigger actions__log
after insert or update or delete on loci_private.actions
for each row execute function loci_private.log_action();
