create or replace function loci_private.count_tokens(content text, tokenizer text)
returns integer
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import pgai
return pgai.count_tokens(plpy, content, tokenizer)
$$;
comment on function loci_private.count_tokens(text, text) is 'How many tokens a text has. LC220 unknown tokenizer.';
revoke execute on function loci_private.count_tokens(text, text) from public;
