create or replace function loci_private.apply_condensation(scope_id uuid, basis jsonb, answer jsonb)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_ids bigint[] := array(select e.e::bigint from jsonb_array_elements_text(apply_condensation.basis -> 'memories') as e (e));
    v_content text := left(btrim(apply_condensation.answer ->> 'summary'), least(1500, loci.setting('memory_max_bytes')::integer / 4));
    v_found integer;
    v_orphans integer;
    v_audiences integer;
    v_audience uuid[];
    v_lineage jsonb;
    v_memory bigint;
begin
    perform from loci_private.evicted_memories as e where e.memory_id = any(v_ids) order by e.memory_id for update nowait;
    select count(*), count(*) filter (where loci_private.is_orphan(e.stated, e.lineage)), count(distinct coalesce(e.audience, '{}'))
    into v_found, v_orphans, v_audiences
    from loci_private.evicted_memories as e
    where e.memory_id = any(v_ids) and e.scope_id = apply_condensation.scope_id;
    if v_found < cardinality(v_ids) or v_orphans > 0 or v_audiences <> 1 then
        return null;
    end if;
    select e.audience into v_audience from loci_private.evicted_memories as e where e.memory_id = v_ids[1];
    select jsonb_agg(distinct jsonb_build_object('source', l.source, 'key', l.key, 'consumed', l.consumed)) into v_lineage
    from (
        select l.source, l.key, bool_and(l.consumed) as consumed
        from loci_private.evicted_memories as e
        cross join lateral jsonb_to_recordset(e.lineage) as l (source text, key text, consumed boolean)
        where e.memory_id = any(v_ids)
        group by l.source, l.key
        union all
        select 'memories', i.i::text, true from unnest(v_ids) as i (i)
    ) as l;
    delete from loci_private.evicted_memories as e where e.memory_id = any(v_ids);
    if loci_private.memory_capacity(apply_condensation.scope_id) > 0 and v_content ~ '\S' then
        v_memory := loci_private.store_memory(
            v_content, 'episodic', apply_condensation.scope_id, v_audience, '{"condensed": true}', null, v_lineage, 0.5, null, false, null
        );
        update loci_private.memory_lineage as m
        set consumed = true
        from jsonb_to_recordset(v_lineage) as l (source text, key text, consumed boolean)
        where m.memory_id = v_memory and m.source = l.source and m.key = l.key and l.consumed;
    end if;
    return v_found;
end $$;
comment on function loci_private.apply_condensation(uuid, jsonb, jsonb) is
'Make one episodic memory of evicted ones, with their lineage, in their scope and audience. How many; null when what it rests on has changed since.';
revoke execute on function loci_private.apply_condensation(uuid, jsonb, jsonb) from public;
