create or replace function loci_private.now()
returns timestamptz
language sql volatile parallel restricted
as $$ select pg_catalog.clock_timestamp() $$;
comment on function loci_private.now() is 'The clock of every queue, lease and expiry. Tests replace it; only a superuser can.';
revoke execute on function loci_private.now() from public;
