create or replace function loci_private.shrink_memories(scope_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_now timestamptz := loci_private.now();
    v_capacity integer := loci_private.memory_capacity(scope_id);
begin
    perform loci_private.evict_memories(array(
        select o.memory_id
        from loci_private.memories as o
        where o.scope_id = shrink_memories.scope_id
        order by (o.superseded_at is null and (o.expires_at is null or o.expires_at > v_now)) desc, o.renewed_at desc, o.memory_id desc
        offset v_capacity
    ));
    -- Those who stay move into the slots that are left.
    update loci_private.memories as m
    set slot = f.slot
    from (
        select o.memory_id, row_number() over (order by o.slot) as n
        from loci_private.memories as o
        where o.scope_id = shrink_memories.scope_id and o.slot >= v_capacity
    ) as o
    join (
        select s.slot, row_number() over (order by s.slot) as n
        from generate_series(0, v_capacity - 1) as s (slot)
        where not exists (
            select from loci_private.memories as t where t.scope_id = shrink_memories.scope_id and t.slot = s.slot
        )
    ) as f on f.n = o.n
    where m.memory_id = o.memory_id;
end $$;
comment on function loci_private.shrink_memories(uuid) is
'Bring a scope down to its capacity, the oldest memories first. The caller holds the lock of its capacity.';
revoke execute on function loci_private.shrink_memories(uuid) from public;
