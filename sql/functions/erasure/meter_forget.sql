create or replace function loci_private.meter_forget(user_id uuid)
returns bigint
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.meter_forget(plpy, user_id)
$$;
comment on function loci_private.meter_forget(uuid) is
'Take a user''s id out of the calls that are not in the ledger yet; the figures stay. How many calls.';
revoke execute on function loci_private.meter_forget(uuid) from public;
