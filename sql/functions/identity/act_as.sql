create or replace function loci.act_as(user_id uuid)
returns uuid
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return loci_private.assume(act_as.user_id);
end $$;
comment on function loci.act_as(uuid) is
'Act for this user until the end of the transaction; null: for nobody. LC101 unknown user, LC102 when the login role is a user of its own (loci.users.db_role).';
revoke execute on function loci.act_as(uuid) from public;
grant execute on function loci.act_as(uuid) to loci_app;
