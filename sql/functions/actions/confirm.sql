create or replace function loci.confirm(
    proposal_id uuid, out status text, out result jsonb, out error jsonb, out ran boolean
)
language plpython3u volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
from loci_udfs import actions
return actions.confirm(plpy, proposal_id)
$$;
comment on function loci.confirm(uuid) is
'Run what was proposed to the current user, exactly as loci.proposals shows it, once, with the rights of the calling role. status: confirmed (result), failed (error; what the action did is undone) or refused (error; it cannot be run any more). Again: the same answer, and ran is false. Not for logins that are members of loci_proposer. LC740 to LC744.';
revoke execute on function loci.confirm(uuid) from public;
grant execute on function loci.confirm(uuid) to loci_approver;
