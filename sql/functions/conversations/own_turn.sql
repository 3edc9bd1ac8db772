create or replace function loci_private.own_turn(turn_id uuid)
returns loci_private.turns
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_turn loci_private.turns;
begin
    select t.* into v_turn
    from loci_private.turns as t
    where t.turn_id = own_turn.turn_id and t.user_id = loci.current_user_id()
    for update;
    if not found then
        raise exception 'there is no turn % of yours', own_turn.turn_id
            using errcode = 'LC707', hint = 'loci.begin_turn() returns turn_id.';
    end if;
    return v_turn;
end $$;
comment on function loci_private.own_turn(uuid) is 'A turn of the current user, locked; LC707 for those of others and those that do not exist.';
revoke execute on function loci_private.own_turn(uuid) from public;
