create or replace view loci_private.planned_chunkings as
select
    s.source_id,
    a.assignment_id,
    m.model_id = coalesce(a.active_model, a.target_model) as in_use,
    m.model_id = a.target_model as is_target,
    p.tokenizer,
    p.max_tokens,
    p.size,
    p.overlap,
    c.chunking_id
from loci_private.sources as s
cross join loci_private.model_assignments as a
join loci.embedding_models as m on m.model_id in (a.active_model, a.target_model)
cross join lateral loci_private.chunking_for(m, s.chunk_tokens, s.chunk_overlap) as p
left join loci_private.chunkings as c
    on c.source_id = s.source_id and c.tokenizer = p.tokenizer and c.max_tokens = p.max_tokens
        and c.size = p.size and c.overlap = p.overlap and not c.adopted;
comment on view loci_private.planned_chunkings is
'How the rows of each source are to be cut for the active and the target model of each assignment; chunking_id is null before loci_private.plan_chunkings().';
