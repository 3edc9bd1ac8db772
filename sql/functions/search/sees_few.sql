create or replace function loci_private.sees_few(scopes uuid [])
returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
-- Scopes are counted by their index, whoever asks.
set enable_seqscan = off
as $$
declare
    -- Below what vector_route() would compute as the limit for any table.
    v_limit constant bigint := least(1000, loci.setting('exact_scan_limit')::bigint);
    v_count bigint;
begin
    select count(*) into v_count
    from (select from loci_private.chunks as c where c.scope_id = any(sees_few.scopes) limit v_limit + 1) as c;
    return v_count <= v_limit;
end $$;
comment on function loci_private.sees_few(uuid []) is
'True if there are so few chunks in these scopes that their vectors are compared whatever else is known: found out in less time than statistics take to read.';
revoke execute on function loci_private.sees_few(uuid []) from public;
