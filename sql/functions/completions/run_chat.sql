create or replace function loci_private.run_chat(config jsonb, request jsonb)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.run_chat(plpy, config, request)
$$;
comment on function loci_private.run_chat(jsonb, jsonb) is
'Ask a chat model as loci_private.chat_config() says; errors are in the result, refused says that nothing was asked.';
revoke execute on function loci_private.run_chat(jsonb, jsonb) from public;
