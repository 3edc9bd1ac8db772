create or replace function loci_private.run_chat(config jsonb, request jsonb, raise_error boolean)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.run_chat(plpy, config, request, raise_error)
$$;
comment on function loci_private.run_chat(jsonb, jsonb, boolean) is
'Ask a chat model as loci_private.chat_config() says. raise_error false: errors of limits, gateway and model are in the result.';
revoke execute on function loci_private.run_chat(jsonb, jsonb, boolean) from public;
