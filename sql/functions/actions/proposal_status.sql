create or replace function loci.proposal_status(status text, expires_at timestamptz)
returns text
language plpgsql volatile parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when proposal_status.status = 'proposed' and proposal_status.expires_at <= loci_private.now() then 'expired'
        else proposal_status.status
    end;
end $$;
comment on function loci.proposal_status(text, timestamptz) is
'The status of a proposal by the clock: proposed ends as expired. Part of the view loci.proposals.';
revoke execute on function loci.proposal_status(text, timestamptz) from public;
grant execute on function loci.proposal_status(text, timestamptz) to loci_app, loci_admin;
