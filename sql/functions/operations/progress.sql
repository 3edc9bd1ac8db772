create or replace view loci.progress as
select
    s.name as source,
    coalesce(r.row_count, 0) as rows,
    coalesce(c.chunks, 0) as chunks,
    coalesce(c.chunks, 0) - coalesce(e.in_use, 0) - coalesce(f.in_use, 0) as embedded,
    coalesce(q.row_count, 0) + coalesce(e.chunks, 0) as pending,
    coalesce(f.failed, 0) as failed,
    least(q.oldest, e.oldest) as oldest_pending,
    case
        when coalesce(q.row_count, 0) + coalesce(c.chunks, 0) = 0 then 100.0
        else round(
            100.0 * (coalesce(c.chunks, 0) - coalesce(e.in_use, 0) - coalesce(f.in_use, 0))
            / greatest(
                coalesce(c.chunks, 0)
                -- A row that is not split yet counts for as many chunks as the others have on average.
                + coalesce(q.row_count, 0) * greatest(1, coalesce(c.chunks, 0) / greatest(coalesce(r.row_count, 0), 1)),
                1
            ), 1
        )
    end as percent,
    w.percent as switching
from loci_private.sources as s
left join (
    select
        source_id,
        count(*) as row_count
    from loci_private.source_rows
    group by source_id
) as r on r.source_id = s.source_id
left join (
    select
        source_id,
        count(*) as chunks
    from loci_private.wanted_vectors
    where in_use
    group by source_id
) as c on c.source_id = s.source_id
left join (
    select
        w.source_id,
        sum(w.row_count) as row_count,
        min(w.enqueued_at) as oldest
    from (
        select
            source_id,
            1 as row_count,
            enqueued_at
        from loci_private.row_queue
        union all
        select
            source_id,
            cardinality(keys),
            enqueued_at
        from loci_private.row_bulk
    ) as w
    group by w.source_id
) as q on q.source_id = s.source_id
left join (
    select
        c.source_id,
        count(distinct c.chunk_id) as chunks,
        count(distinct c.chunk_id) filter (where u.in_use) as in_use,
        min(w.enqueued_at) as oldest
    from loci_private.embed_queue as w
    join loci_private.chunks as c on c.chunk_id = w.chunk_id
    left join loci_private.wanted_vectors as u on u.chunk_id = w.chunk_id and u.model_id = w.model_id
    group by c.source_id
) as e on e.source_id = s.source_id
left join (
    select
        p.source_id,
        count(distinct p.chunk_id) filter (where u.in_use) as in_use,
        count(*) as failed
    from loci_private.failures as p
    left join loci_private.wanted_vectors as u on u.chunk_id = p.chunk_id and u.model_id = p.model_id
    group by p.source_id
) as f on f.source_id = s.source_id
left join (
    select
        source_id,
        trunc(100.0 * split / greatest(row_count, 1) * (1 - 1.0 * waiting / greatest(chunks, 1)), 1) as percent
    from loci_private.switches
) as w on w.source_id = s.source_id;
comment on view loci.progress is
'How far each source is: rows, chunks, how many are embedded, waiting, failed. switching: how much of another model or chunking is ready, in percent; null when nothing is being switched.';
grant select on loci.progress to loci_admin, loci_monitor;
