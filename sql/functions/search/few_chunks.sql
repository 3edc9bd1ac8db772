create or replace function loci_private.few_chunks(scopes uuid [])
returns bigint
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
-- Scopes are counted by their index, whoever asks.
set enable_seqscan = off
as $$
declare
    -- Below what vector_route() computes as the limit for any table.
    v_limit constant bigint := least(1000, loci.setting('exact_scan_limit')::bigint);
    v_count bigint;
begin
    select count(*) into v_count
    from (select from loci_private.chunks as c where c.scope_id = any(few_chunks.scopes) limit v_limit + 1) as c;
    return case when v_count <= v_limit then v_count end;
end $$;
comment on function loci_private.few_chunks(uuid []) is
'How many chunks are in these scopes, if so few that their vectors are compared whatever else is known; else null. Found out in less time than statistics take to read.';
revoke execute on function loci_private.few_chunks(uuid []) from public;
