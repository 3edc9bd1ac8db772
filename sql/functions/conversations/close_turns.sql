create or replace function loci_private.close_turns(conversation_id uuid default null)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    update loci_private.turns as t
    set status = 'abandoned', finished_at = loci_private.now()
    where t.turn_id in (
        select o.turn_id
        from loci_private.turns as o
        where o.status = 'open' and (close_turns.conversation_id is null or o.conversation_id = close_turns.conversation_id)
            and o.begun_at < loci_private.now() - make_interval(secs => loci.setting('turn_seconds')::integer)
        for update skip locked
    );
    get diagnostics v_count = row_count;
    if close_turns.conversation_id is null then
        perform loci_private.log_event('job', jsonb_build_object('job', 'loci turns', 'closed', v_count));
    end if;
    return v_count;
end $$;
comment on function loci_private.close_turns(uuid) is
'Close turns whose answer never came, of one conversation or of all; returns how many. What was asked stays.';
revoke execute on function loci_private.close_turns(uuid) from public;
grant execute on function loci_private.close_turns(uuid) to loci_worker;
