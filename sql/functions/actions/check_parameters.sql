create or replace function loci_private.check_parameters(parameters jsonb)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import actions
return actions.check_parameters(plpy, parameters)
$$;
comment on function loci_private.check_parameters(jsonb) is 'What is wrong with the schema of an action''s arguments, as an error; null for nothing.';
revoke execute on function loci_private.check_parameters(jsonb) from public;
