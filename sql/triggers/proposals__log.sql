create or replace function loci_private.log_proposal()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into loci_private.action_events (happened_at, event, action, proposal_id, user_id, organization_id, login, detail)
    values (
        loci_private.now(), new.status, new.action, new.proposal_id, new.user_id, new.organization_id, session_user,
        case
            when tg_op = 'INSERT' then jsonb_build_object(
                'arguments', new.arguments, 'removed', new.removed, 'conversation_id', new.conversation_id, 'turn_id', new.turn_id,
                'expires_at', new.expires_at, 'reason', new.reason
            )
            else jsonb_build_object('reason', new.reason, 'sqlstate', new.error -> 'sqlstate', 'result', new.result)
        end
    );
    return null;
end $$;
comment on function loci_private.log_proposal() is 'Every status that a proposal gets is in the log.';
revoke execute on function loci_private.log_proposal() from public;
create or replace trigger proposals__log
after insert on loci_private.proposals
for each row execute function loci_private.log_proposal();
create or replace trigger proposals__log_status
after update on loci_private.proposals
for each row when (old.status is distinct from new.status)
execute function loci_private.log_proposal();
