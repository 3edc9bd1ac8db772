create or replace function loci_private.this_database()
returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- The server, and a table that a restored dump has under another oid.
    select format('%s/%s', s.system_identifier, 'loci_private.installation'::regclass::oid) from pg_control_system() as s
$$;
comment on function loci_private.this_database() is
'What tells this database from a copy of it in which oids differ: a restored dump, or a server after pg_upgrade. Copies of the files are the same.';
revoke execute on function loci_private.this_database() from public;
