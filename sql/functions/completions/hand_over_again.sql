create or replace function loci_private.hand_over_again(config jsonb, call jsonb, waits double precision)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.hand_over_again(plpy, config, call, waits)
$$;
comment on function loci_private.hand_over_again(jsonb, jsonb, double precision) is
'Meter the same request once more, for the fallback model: call, null where there is none; or error.';
revoke execute on function loci_private.hand_over_again(jsonb, jsonb, double precision) from public;
