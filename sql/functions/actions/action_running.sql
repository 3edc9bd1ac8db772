create or replace function loci_private.action_running()
returns boolean
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import actions
return actions.is_running()
$$;
comment on function loci_private.action_running() is 'Whether this session is in the middle of an action that was confirmed.';
revoke execute on function loci_private.action_running() from public;
