create or replace function loci_private.function_pin(function oid)
returns bytea
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select sha256(convert_to(quote_ident(pg_get_userbyid(p.proowner)) || ' ' || pg_get_functiondef(p.oid), 'UTF8'))
    from pg_proc as p
    where p.oid = function_pin.function and p.prokind = 'f'
$$;
comment on function loci_private.function_pin(oid) is
'Fingerprint of a function: whose it is, and its whole definition; the same in a copy of the database. Null when it is gone.';
revoke execute on function loci_private.function_pin(oid) from public;
