create or replace function loci_private.follow_home()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user uuid := case tg_op when 'DELETE' then old.user_id else new.user_id end;
begin
    insert into loci_private.row_queue (source_id, key, op)
    select r.source_id, r.key, 'upsert'
    from loci_private.source_rows as r
    where r.row_id in (select c.row_id from loci_private.chunks as c where c.scope_id = v_user)
        and r.organization_id is distinct from loci_private.organization_of(v_user)
        -- Who is being deleted takes the scope along.
        and exists (select from loci.users as u where u.user_id = v_user);
    return null;
end $$;
comment on function loci_private.follow_home() is
'A user''s own rows have the model and the rules of the organization joined first: when that is another one, they are read again.';
revoke execute on function loci_private.follow_home() from public;
create or replace trigger organization_members__home
after insert or delete on loci.organization_members
for each row execute function loci_private.follow_home();
