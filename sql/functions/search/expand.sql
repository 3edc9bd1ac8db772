create or replace function loci_private.expand(question text, config jsonb)
returns text
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import helpers
return helpers.expand(plpy, question, config)
$$;
comment on function loci_private.expand(text, jsonb) is 'The question in other words, as a chat model puts it.';
revoke execute on function loci_private.expand(text, jsonb) from public;
