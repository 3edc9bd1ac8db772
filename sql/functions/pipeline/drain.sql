create or replace procedure loci.drain(max_seconds integer default null)
language plpython3u
as $$
from loci_udfs import drain
drain.run(plpy, max_seconds)
$$;
comment on procedure loci.drain(integer) is
'Split and embed what changed, and answer submitted completions, until nothing is due or max_seconds have passed (default: the setting drain_seconds). Any number may run at once. Call it as a statement of its own, outside a transaction block (LC250).';
revoke execute on procedure loci.drain(integer) from public;
grant execute on procedure loci.drain(integer) to loci_worker, loci_admin;
