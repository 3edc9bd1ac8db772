create or replace function loci_private.identity_signature(user_id uuid)
returns text
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key bytea;
    v_message bytea;
begin
    select k.key into strict v_key from loci_private.session_key as k;
    -- Bound to this backend and this transaction: a copied value is worth nothing elsewhere.
    v_message := convert_to(
        concat_ws(':', identity_signature.user_id, pg_backend_pid(), extract(epoch from transaction_timestamp())), 'UTF8'
    );
    return encode(sha256(v_key || sha256(v_key || v_message)), 'hex');
end $$;
comment on function loci_private.identity_signature(uuid) is
'Signature that proves act_as() or login() named this user in this transaction; a SET by hand cannot make one.';
revoke execute on function loci_private.identity_signature(uuid) from public;
