create or replace function loci_private.free_slot(scope_id uuid, capacity integer)
returns integer
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
    v_slot integer;
    v_memory bigint;
begin
    if (select count(*) from loci_private.memories as m where m.scope_id = free_slot.scope_id) < capacity then
        -- Any of those that are free: writers at the same time rarely choose the same one.
        select s.slot into v_slot
        from generate_series(0, capacity - 1) as s (slot)
        where not exists (
            select from loci_private.memories as m where m.scope_id = free_slot.scope_id and m.slot = s.slot
        )
        order by random()
        limit 1;
        if found then
            return v_slot;
        end if;
    end if;
    -- What nobody can recall any more goes first, then the oldest. What another writer is just evicting is his.
    select m.memory_id into v_memory
    from loci_private.memories as m
    where m.scope_id = free_slot.scope_id and m.superseded_at is not null
    order by m.superseded_at
    limit 1
    for update skip locked;
    if v_memory is null then
        select m.memory_id into v_memory
        from loci_private.memories as m
        where m.scope_id = free_slot.scope_id and m.expires_at <= v_now
        order by m.expires_at
        limit 1
        for update skip locked;
    end if;
    if v_memory is null then
        select m.memory_id into v_memory
        from loci_private.memories as m
        where m.scope_id = free_slot.scope_id
        order by m.renewed_at, m.memory_id
        limit 1
        for update skip locked;
    end if;
    if v_memory is null then
        -- All of them are being evicted by others: wait for the first.
        select m.memory_id into v_memory
        from loci_private.memories as m
        where m.scope_id = free_slot.scope_id
        order by m.renewed_at, m.memory_id
        limit 1
        for update;
    end if;
    select e.slot into v_slot from loci_private.evict_memories(array[v_memory]) as e (slot);
    return v_slot;
end $$;
comment on function loci_private.free_slot(uuid, integer) is
'A slot of this scope to put a memory in: a free one, else that of the memory to be evicted, which goes. Null when others were faster: ask again.';
revoke execute on function loci_private.free_slot(uuid, integer) from public;
