create or replace function loci_private.metered_calls(at double precision)
returns setof jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.metered_calls(plpy, at)
$$;
comment on function loci_private.metered_calls(double precision) is
'Calls that the drain has not written to loci_private.calls yet, or that are under way. at: seconds since 1970.';
revoke execute on function loci_private.metered_calls(double precision) from public;
