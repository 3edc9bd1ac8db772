create or replace function loci.unregister_action(name text)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from loci_private.actions as a where a.name = unregister_action.name;
    return found;
end $$;
comment on function loci.unregister_action(text) is
'Remove an action: nothing is proposed under its name any more, and what waits is refused when it is confirmed. False when there was none.';
revoke execute on function loci.unregister_action(text) from public;
grant execute on function loci.unregister_action(text) to loci_admin;
