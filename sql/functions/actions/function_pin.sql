create or replace function loci_private.function_pin(function oid)
returns bytea
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select sha256(convert_to(p.oid || ' ' || p.proowner || ' ' || pg_get_functiondef(p.oid), 'UTF8'))
    from pg_proc as p
    where p.oid = function_pin.function and p.prokind = 'f'
$$;
comment on function loci_private.function_pin(oid) is
'Fingerprint of a function: which one, whose, and its whole definition. Null when it is gone.';
revoke execute on function loci_private.function_pin(oid) from public;
