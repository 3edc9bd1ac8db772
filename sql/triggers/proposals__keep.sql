create or replace function loci_private.keep_proposal()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_new loci_private.proposals := old;
begin
    -- Rows it refers to may go.
    v_new.organization_id := new.organization_id;
    v_new.conversation_id := new.conversation_id;
    v_new.turn_id := new.turn_id;
    if old.status = 'proposed' then
        v_new.status := new.status;
        v_new.reason := new.reason;
        v_new.result := new.result;
        v_new.error := new.error;
        v_new.decided_at := new.decided_at;
        v_new.decided_by := new.decided_by;
    end if;
    return v_new;
end $$;
comment on function loci_private.keep_proposal() is 'What was proposed never changes, and is decided once.';
revoke execute on function loci_private.keep_proposal() from public;
create or replace trigger proposals__keep
before update on loci_private.proposals
for each row execute function loci_private.keep_proposal();
