create or replace function loci.propose(action text, arguments jsonb, conversation_id uuid default null)
returns uuid
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_organization uuid := loci_private.organization_of(loci.current_user_id());
    v_stored jsonb;
begin
    if propose.conversation_id is not null then
        v_organization := (loci_private.own_conversation(propose.conversation_id)).organization_id;
    end if;
    v_stored := loci_private.store_proposal(
        propose.action, propose.arguments, v_organization, propose.conversation_id, null, null, false
    );
    if v_stored ? 'error' then
        perform loci_private.raise_error(v_stored -> 'error');
    end if;
    return (v_stored ->> 'proposal_id')::uuid;
end $$;
comment on function loci.propose(text, jsonb, uuid) is
'Propose an action to the current user, who finds it in loci.proposals; nothing happens until loci.confirm(). Invisible characters of the arguments are removed first. Returns its id. LC702, LC733 to LC739, LC744.';
revoke execute on function loci.propose(text, jsonb, uuid) from public;
grant execute on function loci.propose(text, jsonb, uuid) to loci_proposer;
