create or replace function loci_private.action_error(sqlstate text)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import actions
return actions.action_error(sqlstate)
$$;
comment on function loci_private.action_error(text) is 'A reason for which something is not proposed or not run, as an error for raise_error() or for the record.';
revoke execute on function loci_private.action_error(text) from public;
