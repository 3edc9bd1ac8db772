create or replace function loci_private.meter_requests(gateway text, wanted integer, most integer, at double precision)
returns integer
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.meter_requests(plpy, gateway, wanted, most, at)
$$;
comment on function loci_private.meter_requests(text, integer, integer, double precision) is
'Requests that a limit a minute still grants; they are counted outside of all transactions. at: seconds since 1970.';
revoke execute on function loci_private.meter_requests(text, integer, integer, double precision) from public;
