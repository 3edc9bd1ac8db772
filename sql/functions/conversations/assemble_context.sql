create or replace function loci_private.assemble_context(parts jsonb, budget integer, tokenizer text)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import context
return context.assemble_context(plpy, parts, budget, tokenizer)
$$;
comment on function loci_private.assemble_context(jsonb, integer, text) is
'Messages of a request within a budget of tokens, by priority: see context.py. error (LC704) where question and system prompt alone are too long.';
revoke execute on function loci_private.assemble_context(jsonb, integer, text) from public;
