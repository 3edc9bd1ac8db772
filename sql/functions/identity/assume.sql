create or replace function loci_private.assume(user_id uuid)
returns uuid
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mapped uuid;
begin
    select u.user_id into v_mapped from loci.users as u where u.db_role = session_user;
    if v_mapped is not null and v_mapped is distinct from assume.user_id then
        raise exception 'role "%" is a user of its own and cannot act for another', session_user
            using errcode = 'LC102', hint = 'Connect as a role that is a member of loci_app and not named in loci.users.db_role.';
    end if;
    if assume.user_id is null then
        perform set_config('loci.identity', '', true);
        return null;
    end if;
    if not exists (select from loci.users as u where u.user_id = assume.user_id) then
        raise exception 'there is no such user'
            using errcode = 'LC101', hint = 'Insert the user into loci.users first (role loci_admin).';
    end if;
    perform set_config(
        'loci.identity', assume.user_id || ':' || loci_private.identity_signature(assume.user_id), true
    );
    return assume.user_id;
end $$;
comment on function loci_private.assume(uuid) is 'Name the user of this transaction; the one place that does (LC101, LC102).';
revoke execute on function loci_private.assume(uuid) from public;
