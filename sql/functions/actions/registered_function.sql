create or replace function loci_private.registered_function(action loci_private.actions)
returns oid
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Looked up as rows: to name the function in SQL would take a right on its schema.
    select p.oid
    from pg_proc as p
    where p.proname = (parse_ident((registered_function.action).function_name))[2]
        and p.proargtypes = 'jsonb'::regtype::oid::text::oidvector
        and p.pronamespace = (
            select n.oid from pg_namespace as n where n.nspname = (parse_ident((registered_function.action).function_name))[1]
        )
        and loci_private.function_pin(p.oid) = (registered_function.action).pin
        and (
            p.oid = (registered_function.action).function_oid
            or loci_private.this_database() <> (registered_function.action).registered_in
        )
$$;
comment on function loci_private.registered_function(loci_private.actions) is
'The function of an action; null when it is not the one that was registered any more. In a restored database, where its oid is another: the one of the same name, owner and definition.';
revoke execute on function loci_private.registered_function(loci_private.actions) from public;
