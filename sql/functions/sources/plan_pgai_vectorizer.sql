create or replace function loci_private.plan_pgai_vectorizer(vectorizer jsonb, columns jsonb)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import pgai
return pgai.plan(plpy, vectorizer, columns)
$$;
comment on function loci_private.plan_pgai_vectorizer(jsonb, jsonb) is
'What a row of ai.vectorizer means in Loci''s terms; columns: those of its table, with their types. LC275 where it has no counterpart.';
revoke execute on function loci_private.plan_pgai_vectorizer(jsonb, jsonb) from public;
