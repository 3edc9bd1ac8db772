create or replace function loci_private.hand_over(config jsonb, request jsonb, waits double precision)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.hand_over(plpy, config, request, waits)
$$;
comment on function loci_private.hand_over(jsonb, jsonb, double precision) is
'Meter a request that somebody else sends to the gateway, as loci_private.run_chat() meters its own: call (for settle) and request (what to send), or error. waits: seconds until it counts as lost.';
revoke execute on function loci_private.hand_over(jsonb, jsonb, double precision) from public;
