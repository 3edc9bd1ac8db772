create or replace function loci_private.in_confirm(proposal_id uuid)
returns boolean
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import actions
return actions.in_confirm(proposal_id)
$$;
comment on function loci_private.in_confirm(uuid) is
'Whether loci.confirm() is at a step of this proposal. It is told by the memory of the process, which no SQL reaches.';
revoke execute on function loci_private.in_confirm(uuid) from public;
