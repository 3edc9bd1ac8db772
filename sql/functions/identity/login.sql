create or replace function loci.login(jwt text)
returns uuid
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_claims jsonb;
    v_name text;
    v_user uuid;
begin
    if loci.setting('jwt_key_ref') is null then
        raise exception 'no key for tokens is configured'
            using errcode = 'LC119',
            hint = 'As loci_admin: update loci.settings set value = ''env:NAME'' where name = ''jwt_key_ref''.';
    end if;
    v_claims := loci_private.verify_token(
        login.jwt, loci.setting('jwt_key_ref'), loci.setting('jwt_algorithms'), loci.setting('jwt_audience'),
        loci.setting('jwt_issuer'), loci.setting('jwt_leeway_seconds')::integer, loci_private.now()
    );
    v_name := v_claims ->> loci.setting('jwt_user_claim');
    select u.user_id into v_user
    from loci.users as u
    where u.user_id::text = lower(v_name)
        -- An address that its issuer does not vouch for is anybody's.
        or (u.email = v_name and v_claims -> 'email_verified' is distinct from 'false')
    order by u.user_id::text = lower(v_name) desc
    limit 1;
    if not found then
        raise exception 'the token names no user'
            using errcode = 'LC101', detail = format('Claim "%s" matches no user_id and no verified e-mail address.', loci.setting('jwt_user_claim')),
            hint = 'Insert the user into loci.users first (role loci_admin).';
    end if;
    return loci_private.assume(v_user);
end $$;
comment on function loci.login(text) is
'Act for the user named by a signed JSON Web Token until the end of the transaction. LC110 to LC121 when the token is refused or nothing is configured to verify it, LC101 when it names no user, LC102 for a mapped login role.';
revoke execute on function loci.login(text) from public;
grant execute on function loci.login(text) to loci_app;
