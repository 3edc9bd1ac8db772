create or replace function loci_private.check_no_open_turn(conversation_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.close_turns(check_no_open_turn.conversation_id);
    if exists (
        select from loci_private.turns as t
        where t.conversation_id = check_no_open_turn.conversation_id and t.status = 'open'
    ) then
        raise exception 'the conversation waits for an answer already'
            using errcode = 'LC705', detail = 'Its last turn is open.',
            hint = 'Finish it with loci.finish_turn(), or wait: it is closed after the setting turn_seconds.';
    end if;
end $$;
comment on function loci_private.check_no_open_turn(uuid) is 'LC705 while a conversation has an open turn; one whose time is over is closed.';
revoke execute on function loci_private.check_no_open_turn(uuid) from public;
