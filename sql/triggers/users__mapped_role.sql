create or replace function loci_private.keep_mapped()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from loci.users as u where u.db_role = old.db_role)
        and exists (
            select from pg_roles as r
            where r.rolname = old.db_role and not r.rolsuper and pg_has_role(r.oid, 'loci_app', 'member')
        )
    then
        raise exception 'role "%" would be free to act for anybody', old.db_role
            using errcode = 'LC106',
            detail = 'It is a member of loci_app, and no user of its own any more.',
            hint = format('First: revoke loci_app from %I, or drop the role.', old.db_role);
    end if;
    return null;
end $$;
comment on function loci_private.keep_mapped() is
'A login role that was one user does not become a role that names any user because its user is gone (LC106).';
revoke execute on function loci_private.keep_mapped() from public;
drop trigger if exists users__mapped_role on loci.users;
-- At the end of the transaction: a role may pass from one user to another.
create constraint trigger users__mapped_role
after update of db_role or delete on loci.users
deferrable initially deferred
for each row when (old.db_role is not null)
execute function loci_private.keep_mapped();
