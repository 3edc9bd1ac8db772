create or replace function loci.current_user_id()
returns uuid
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user uuid;
    v_identity text;
begin
    select u.user_id into v_user from loci.users as u where u.db_role = session_user;
    if found then
        return v_user;
    end if;
    v_identity := current_setting('loci.identity', true);
    -- So strict that the cast cannot fail: an exception block here would keep policies out of parallel queries.
    if v_identity is null or v_identity !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{64}$' then
        return null;
    end if;
    v_user := substr(v_identity, 1, 36)::uuid;
    if substr(v_identity, 38) = loci_private.identity_signature(v_user) then
        return v_user;
    end if;
    return null;
end $$;
comment on function loci.current_user_id() is
'The user this transaction acts for: the login role''s own user, else the one named by act_as() or login(); null when nobody is named.';
revoke execute on function loci.current_user_id() from public;
grant execute on function loci.current_user_id() to loci_app, loci_admin;
