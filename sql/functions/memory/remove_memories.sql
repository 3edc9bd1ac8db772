create or replace function loci_private.remove_memories(memory_ids bigint [])
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    with recursive gone as (
        select m as memory_id from unnest(remove_memories.memory_ids) as m
        union
        select l.memory_id
        from gone as g
        join loci_private.memory_lineage as l on l.source = 'memories' and l.key = g.memory_id::text
        join loci_private.memories as m on m.memory_id = l.memory_id and not m.stated
    )
    delete from loci_private.memories as m using gone as g where m.memory_id = g.memory_id;
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci_private.remove_memories(bigint []) is
'Delete memories and whatever was derived from them; returns how many.';
revoke execute on function loci_private.remove_memories(bigint []) from public;
