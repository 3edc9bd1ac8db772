create or replace function loci_private.review_arguments(parameters jsonb, arguments jsonb, name text)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import actions
return actions.review_arguments(plpy, parameters, arguments, name)
$$;
comment on function loci_private.review_arguments(jsonb, jsonb, text) is
'Arguments without what nobody would see in them, a summary for the eye, and how many characters were removed; {"error": ...} when they do not fit the schema (null: no schema).';
revoke execute on function loci_private.review_arguments(jsonb, jsonb, text) from public;
