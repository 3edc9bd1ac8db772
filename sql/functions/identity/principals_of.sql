create or replace function loci_private.principals_of(user_id uuid)
returns uuid []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function. Keys of caches are made of it: always the same order.
    return array(select v.principal from loci_private.user_principals as v where v.user_id = principals_of.user_id order by v.principal);
end $$;
comment on function loci_private.principals_of(uuid) is
'Whom an audience may name to reach this user, in their order: loci_private.user_principals.';
revoke execute on function loci_private.principals_of(uuid) from public;
