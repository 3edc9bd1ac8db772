create or replace function loci_private.scopes_of(user_id uuid)
returns uuid []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function. Keys of caches are made of it: always the same order.
    return array(select v.scope_id from loci_private.user_scopes as v where v.user_id = scopes_of.user_id order by v.scope_id);
end $$;
comment on function loci_private.scopes_of(uuid) is
'Scopes a user may see, in their order: loci_private.user_scopes. Empty for an unknown user.';
revoke execute on function loci_private.scopes_of(uuid) from public;
