create or replace function loci_private.is_complete(assignment_id integer, source_ids integer [])
returns boolean
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_assignment loci_private.model_assignments;
    v_complete boolean;
begin
    select a.* into strict v_assignment
    from loci_private.model_assignments as a
    where a.assignment_id = is_complete.assignment_id;
    -- Cheap answers first: rows are still being queued, or something waits for its vector.
    if exists (
        select from loci_private.chunking_assignments as c
        where c.assignment_id = v_assignment.assignment_id and c.source_id = any(is_complete.source_ids)
            and c.active_chunking <> c.target_chunking and c.fed_row > 0 and c.fed_row < 9223372036854775807
    ) or exists (
        select from loci_private.embed_queue as q
        join loci_private.wanted_vectors as w on w.chunk_id = q.chunk_id and w.model_id = q.model_id
        join loci_private.source_rows as r on r.row_id = w.row_id
        join loci_private.chunking_assignments as c
            on c.source_id = w.source_id and c.assignment_id = w.assignment_id and c.fed_version >= r.version
        where q.model_id = v_assignment.target_model and w.coming and w.assignment_id = v_assignment.assignment_id
            and w.source_id = any(is_complete.source_ids)
    ) then
        return false;
    end if;
    execute format(
        'select not exists (
            -- Rows that changed since wait for their vectors as they would without a switch: somebody who always writes does
            -- not put it off for ever.
            select from loci_private.wanted_vectors as w
            join loci_private.source_rows as r on r.row_id = w.row_id
            join loci_private.chunking_assignments as c
                on c.source_id = w.source_id and c.assignment_id = w.assignment_id and c.fed_version >= r.version
            where w.model_id = $2 and w.coming and w.assignment_id = $1 and w.source_id = any($3)
                and not exists (select from loci_private.%I as e where e.chunk_id = w.chunk_id)
                and not exists (select from loci_private.failures as f where f.chunk_id = w.chunk_id and f.model_id = $2)
        ) and not exists (
            -- A row that has chunks has those of the target, too.
            select from loci_private.chunkings as k
            join loci_private.chunks as c on c.chunking_id = k.chunking_id
            left join loci_private.model_assignments as o on o.organization_id = c.organization_id
            where k.source_id = any($3) and coalesce(o.assignment_id, $4) = $1
                and k.chunking_id not in (select u.chunking_id from loci_private.chunking_uses as u where u.assignment_id = $1 and u.coming)
                and not exists (
                    select from loci_private.chunks as n
                    join loci_private.chunking_uses as u
                        on u.source_id = n.source_id and u.chunking_id = n.chunking_id and u.assignment_id = $1 and u.coming
                    where n.row_id = c.row_id
                )
                and not exists (
                    select from loci_private.source_rows as r
                    join loci_private.failures as f on f.source_id = r.source_id and f.key = r.key and f.stage = ''split''
                    where r.row_id = c.row_id
                )
        )', loci_private.model_table(v_assignment.target_model)
    ) into v_complete using
        v_assignment.assignment_id, v_assignment.target_model, is_complete.source_ids,
        (loci_private.assignment_of(null)).assignment_id;
    return v_complete;
end $$;
comment on function loci_private.is_complete(integer, integer []) is
'Whether all rows of these sources, in the organizations of a model assignment, are split for its target and have their vectors, or are parked in failures.';
revoke execute on function loci_private.is_complete(integer, integer []) from public;
