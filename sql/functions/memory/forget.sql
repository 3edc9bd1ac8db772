create or replace function loci.forget(memory_id bigint)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user uuid := loci.current_user_id();
    v_yours boolean;
begin
    if forget.memory_id is null then
        raise exception 'memory id is null' using errcode = 'LC611', hint = 'Pass the id that loci.remember() or loci.recall() returned.';
    end if;
    select loci.is_visible(m.scope_id, m.audience, loci.visible_scopes(), loci.current_principals())
        and (
            v_user in (m.created_by, m.scope_id)
            or m.organization_id = any(loci.managed_organizations()) and m.scope_id in (
                select s.scope_id from loci_private.scopes as s where s.kind <> 'user'
            )
        )
    into v_yours
    from loci_private.memories as m
    where m.memory_id = forget.memory_id
    for update;
    if v_yours then
        perform loci_private.remove_memories(array[forget.memory_id]);
    end if;
    -- One answer for memories that do not exist and those of others.
    return coalesce(v_yours, false);
end $$;
comment on function loci.forget(bigint) is
'Delete one memory and everything derived from it. True if it existed and was yours: made by you, in your own scope, or in an organization that you manage. LC611 when null.';
revoke execute on function loci.forget(bigint) from public;
grant execute on function loci.forget(bigint) to loci_app, loci_admin;
