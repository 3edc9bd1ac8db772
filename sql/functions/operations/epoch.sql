create or replace function loci_private.epoch()
returns double precision
language sql volatile parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$ select extract(epoch from loci_private.now())::double precision $$;
comment on function loci_private.epoch() is 'loci_private.now() as the meter counts it: seconds since 1970.';
revoke execute on function loci_private.epoch() from public;
grant execute on function loci_private.epoch() to loci_worker;
