create or replace function loci_private.sweep_memories(most integer default 500)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := loci_private.now();
    v_same float8 := loci.setting('memory_same_similarity')::float8;
    v_source integer := (select s.source_id from loci_private.sources as s where s.name = 'memories');
    v_count bigint;
    v_memory record;
begin
    delete from loci_private.memories as m
    where m.memory_id in (
        select e.memory_id from loci_private.memories as e
        where e.expires_at <= v_now
        for update skip locked
    );
    get diagnostics v_count = row_count;
    -- Recalled no more since their source went; now they go as well.
    v_count := v_count + loci_private.remove_memories(array(
        select m.memory_id
        from loci_private.memory_lineage as l
        join loci_private.memories as m on m.memory_id = l.memory_id and not m.stated
        where not l.consumed and not loci_private.source_exists(l.source, l.key)
        for update of m skip locked
    ));
    -- The newer of two that mean the same, or the opposite, stands for both.
    for v_memory in
        select m.memory_id, m.scope_id, m.audience, m.memory_type, m.renewed_at, c.chunk_id, a.active_model as model_id
        from loci_private.memories as m
        join loci_private.source_rows as r on r.source_id = v_source and r.key = m.memory_id::text
        join loci_private.chunks as c on c.row_id = r.row_id and c.ordinal = 0
        cross join lateral loci_private.assignment_of(c.organization_id) as a
        where not m.compared and m.superseded_at is null and a.active_model is not null
        order by m.memory_id
        limit most
        for update of m skip locked
    loop
        execute format(
            'with own as (select e.embedding from loci_private.%1$I as e where e.chunk_id = $1),
            older as (
                select m.memory_id, m.mentions, m.importance
                from own as o
                cross join loci_private.memories as m
                join loci_private.source_rows as r on r.source_id = $2 and r.key = m.memory_id::text
                join loci_private.chunks as c on c.row_id = r.row_id and c.ordinal = 0
                join loci_private.%1$I as e on e.chunk_id = c.chunk_id
                where m.scope_id = $3 and m.memory_type = $4 and m.audience is not distinct from $5
                    and m.superseded_at is null and (m.renewed_at, m.memory_id) < ($6, $7)
                    and 1 - (e.embedding operator(public.<=>) o.embedding) >= $8
                for update of m skip locked
            ), superseded as (
                update loci_private.memories as m
                set superseded_at = $9, superseded_by = $7
                from older as o
                where m.memory_id = o.memory_id
                returning o.mentions, o.importance
            )
            update loci_private.memories as m
            set compared = true,
                mentions = m.mentions + coalesce((select sum(s.mentions) from superseded as s), 0)::integer,
                importance = greatest(m.importance, (select max(s.importance) from superseded as s))
            where m.memory_id = $7 and exists (select from own)',
            loci_private.model_table(v_memory.model_id)
        ) using
            v_memory.chunk_id, v_source, v_memory.scope_id, v_memory.memory_type, v_memory.audience, v_memory.renewed_at,
            v_memory.memory_id, v_same, v_now;
    end loop;
    perform loci_private.log_event('job', jsonb_build_object('job', 'loci memories', 'removed', v_count));
    return v_count;
end $$;
comment on function loci_private.sweep_memories(integer) is
'Remove memories that expired or whose source is gone; of those that mean nearly the same keep the newest. Returns how many were removed.';
revoke execute on function loci_private.sweep_memories(integer) from public;
