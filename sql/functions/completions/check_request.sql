create or replace function loci_private.check_request(request jsonb)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.check_request(plpy, request)
$$;
comment on function loci_private.check_request(jsonb) is
'What can be seen to be wrong with a request before it is made: messages, tools, schema (LC501, LC502, LC512, LC516, LC517). Null for nothing.';
revoke execute on function loci_private.check_request(jsonb) from public;
