create or replace function loci_private.is_forgotten(user_id uuid)
returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from loci_private.forgotten as f where f.user_hash = sha256(uuid_send(is_forgotten.user_id))
    );
end $$;
comment on function loci_private.is_forgotten(uuid) is 'Was this user forgotten, by loci.forget_user()?';
revoke execute on function loci_private.is_forgotten(uuid) from public;
