create or replace view loci_private.wanted_vectors as
select
    c.chunk_id,
    c.row_id,
    c.source_id,
    c.chunking_id,
    u.assignment_id,
    u.model_id,
    u.in_use,
    u.coming
from loci_private.chunks as c
left join loci_private.model_assignments as o on o.organization_id = c.organization_id
join loci_private.chunking_uses as u
    on u.source_id = c.source_id and u.chunking_id = c.chunking_id
        and u.assignment_id = coalesce(
            o.assignment_id, (select d.assignment_id from loci_private.model_assignments as d where d.organization_id is null)
        );
comment on view loci_private.wanted_vectors is
'Every chunk with the models that it needs a vector of. Chunks that nobody wants any more are not in it.';
