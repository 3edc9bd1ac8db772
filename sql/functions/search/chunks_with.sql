create or replace function loci_private.chunks_with(required tsquery, up_to integer)
returns bigint []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
-- The index of words knows, however common they are.
set enable_seqscan = off
as $$
declare
    v_chunks bigint[];
begin
    select coalesce(array_agg(c.chunk_id), '{}') into v_chunks
    from (
        select c.chunk_id from loci_private.chunks as c where c.lexemes @@ chunks_with.required limit chunks_with.up_to + 1
    ) as c;
    return case when cardinality(v_chunks) <= chunks_with.up_to then v_chunks end;
end $$;
comment on function loci_private.chunks_with(tsquery, integer) is
'All chunks that have a phrase, whoever may see them; null if there are more than up_to.';
revoke execute on function loci_private.chunks_with(tsquery, integer) from public;
