create or replace function loci.enable_action(name text, enabled boolean default true)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update loci_private.actions as a
    set enabled = coalesce(enable_action.enabled, false)
    where a.name = enable_action.name;
    return found;
end $$;
comment on function loci.enable_action(text, boolean) is
'Turn an action on, or with false off: then it is neither proposed nor run. False when there is no such action.';
revoke execute on function loci.enable_action(text, boolean) from public;
grant execute on function loci.enable_action(text, boolean) to loci_admin;
