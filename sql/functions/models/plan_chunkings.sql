create or replace function loci_private.plan_chunkings()
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_switch record;
begin
    insert into loci_private.chunkings (source_id, tokenizer, max_tokens, size, overlap)
    select distinct p.source_id, p.tokenizer, p.max_tokens, p.size, p.overlap
    from loci_private.planned_chunkings as p
    where p.chunking_id is null
    on conflict do nothing;
    -- What is new begins with what its model needs; an organization that chooses a model, with what serves it so far.
    insert into loci_private.chunking_assignments (
        source_id, assignment_id, active_chunking, target_chunking, adopted_chunking, surplus
    )
    select p.source_id, p.assignment_id, coalesce(d.active_chunking, p.chunking_id), coalesce(d.active_chunking, p.chunking_id),
        d.adopted_chunking, coalesce(d.surplus, false)
    from loci_private.planned_chunkings as p
    left join loci_private.model_assignments as a on a.organization_id is null
    left join loci_private.chunking_assignments as d on d.source_id = p.source_id and d.assignment_id = a.assignment_id
    where p.in_use and not exists (
        select from loci_private.chunking_assignments as c
        where c.source_id = p.source_id and c.assignment_id = p.assignment_id
    )
    on conflict do nothing;
    -- A table that is not watched cannot be read: its chunks stay as they are. Drains that are just storing rows are waited
    -- for, so that whatever comes after this sees them.
    for v_switch in
        with changed as materialized (
            select c.source_id, c.assignment_id, w.chunking_id, a.target_model
            from loci_private.chunking_assignments as c
            join loci_private.sources as s on s.source_id = c.source_id
            join loci_private.model_assignments as a on a.assignment_id = c.assignment_id
            join loci_private.planned_chunkings as p
                on p.source_id = c.source_id and p.assignment_id = c.assignment_id and p.is_target
            cross join lateral (select case when s.watched then p.chunking_id else c.active_chunking end) as w (chunking_id)
            where c.target_chunking <> w.chunking_id
            order by c.source_id, c.assignment_id
            for update of c
        )
        update loci_private.chunking_assignments as c
        set target_chunking = n.chunking_id, surplus = true, fed_row = 0, assigned_at = now()
        from changed as n
        where c.source_id = n.source_id and c.assignment_id = n.assignment_id
        returning c.source_id, n.target_model
    loop
        -- Chunks that nobody wanted a moment ago may still be there.
        perform loci_private.enqueue_missing(v_switch.target_model, v_switch.source_id);
    end loop;
end $$;
comment on function loci_private.plan_chunkings() is
'Find out how the rows of each source have to be cut for the models in use and those to come, and begin to switch where that has changed.';
revoke execute on function loci_private.plan_chunkings() from public;
