create or replace view loci_private.chunking_uses as
select
    c.source_id,
    c.assignment_id,
    v.chunking_id,
    v.model_id,
    v.in_use,
    v.coming
from loci_private.chunking_assignments as c
join loci_private.model_assignments as a on a.assignment_id = c.assignment_id
join loci_private.chunkings as t on t.chunking_id = c.target_chunking
left join loci_private.chunkings as x on x.chunking_id = c.adopted_chunking
cross join
    lateral (
        select
            a.active_model is not distinct from a.target_model as same_model,
            c.active_chunking = c.target_chunking as same_chunking,
            -- Chunks that somebody else cut are cut anew only where the chunking changes.
            c.active_chunking = c.target_chunking
            or (x.tokenizer, x.max_tokens, x.size, x.overlap) = (t.tokenizer, t.max_tokens, t.size, t.overlap) as adopted_stays
    ) as s
cross join
    lateral (
        values
        (c.active_chunking, a.active_model, true, s.same_model and s.same_chunking),
        (c.adopted_chunking, a.active_model, true, s.same_model and s.adopted_stays),
        (case when not (s.same_model and s.same_chunking) then c.target_chunking end, a.target_model, false, true),
        (case when s.adopted_stays and not s.same_model then c.adopted_chunking end, a.target_model, false, true)
    ) as v (chunking_id, model_id, in_use, coming)
where v.chunking_id is not null and v.model_id is not null;
comment on view loci_private.chunking_uses is
'Which chunks of a source are for which model, by model assignment: those in use, and those that come into use when they are complete (the same, unless something is being switched).';
