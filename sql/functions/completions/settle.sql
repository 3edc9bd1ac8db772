create or replace function loci_private.settle(config jsonb, call jsonb, outcome jsonb)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.settle(plpy, config, call, outcome)
$$;
comment on function loci_private.settle(jsonb, jsonb, jsonb) is
'Say how a call that was handed over has ended; the first time counts. Returns an error where that cannot be put down.';
revoke execute on function loci_private.settle(jsonb, jsonb, jsonb) from public;
