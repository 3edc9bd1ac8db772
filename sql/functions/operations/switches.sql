create or replace view loci_private.switches as
select
    s.source_id,
    count(distinct c.row_id) as row_count,
    count(distinct c.row_id) filter (where u.chunking_id is not null) as split,
    count(c.chunk_id) filter (where u.chunking_id is not null) as chunks,
    count(q.queue_id) as waiting
from loci_private.chunking_assignments as s
join loci_private.model_assignments as a on a.assignment_id = s.assignment_id
left join (
    select
        k.source_id,
        k.chunking_id,
        h.chunk_id,
        h.row_id,
        coalesce(
            o.assignment_id, (select d.assignment_id from loci_private.model_assignments as d where d.organization_id is null)
        ) as assignment_id
    from loci_private.chunkings as k
    join loci_private.chunks as h on h.chunking_id = k.chunking_id
    left join loci_private.model_assignments as o on o.organization_id = h.organization_id
) as c on c.source_id = s.source_id and c.assignment_id = s.assignment_id
left join loci_private.chunking_uses as u
    on u.source_id = s.source_id and u.assignment_id = s.assignment_id and u.chunking_id = c.chunking_id and u.coming
left join loci_private.embed_queue as q on q.chunk_id = c.chunk_id and q.model_id = u.model_id
where s.active_chunking <> s.target_chunking or a.active_model is distinct from a.target_model
group by s.source_id;
comment on view loci_private.switches is
'Sources that are being switched to another model or chunking: rows with text, those split for it, and the chunks of these with those that wait for a vector.';
