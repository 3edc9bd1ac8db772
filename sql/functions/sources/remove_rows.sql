create or replace function loci_private.remove_rows(row_ids bigint [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
-- Applications' sessions live long and plan while there is little, and a queue is empty whenever somebody counts it: all
-- is found by index, from arrays, so that no plan takes a time that grows with the square of what is removed.
set enable_seqscan = off
as $$
declare
    v_chunks bigint[];
    v_model integer;
    v_free bigint[];
begin
    if cardinality(remove_rows.row_ids) = 0 then
        return;
    end if;
    -- A drain that is just writing vectors of these chunks holds them; what it writes must be seen below.
    v_chunks := array(
        select c.chunk_id from loci_private.chunks as c where c.row_id = any(remove_rows.row_ids) order by c.chunk_id for update
    );
    for v_model in select m.model_id from loci.embedding_models as m loop
        execute format('delete from loci_private.%I as e where e.row_id = any($1)', loci_private.model_table(v_model))
        using remove_rows.row_ids;
    end loop;
    -- An application may be waiting for this: what a drain holds right now is left for it to clean up.
    v_free := array(
        select q.queue_id from loci_private.embed_queue as q where q.chunk_id = any(v_chunks) for update skip locked
    );
    delete from loci_private.embed_queue as q where q.queue_id = any(v_free);
    v_free := array(
        select f.failure_id
        from loci_private.failures as f
        join loci_private.source_rows as r on r.source_id = f.source_id and r.key = f.key
        where r.row_id = any(remove_rows.row_ids)
        for update of f skip locked
    );
    delete from loci_private.failures as f where f.failure_id = any(v_free);
    -- What is gone is not to be counted much longer.
    insert into loci_private.text_changes (scope_id, chunks)
    select c.scope_id, count(*)
    from loci_private.chunks as c
    where c.row_id = any(remove_rows.row_ids) and c.audience is null
    group by c.scope_id;
    delete from loci_private.source_rows as r where r.row_id = any(remove_rows.row_ids);
end $$;
comment on function loci_private.remove_rows(bigint []) is
'Remove rows with everything made from them: chunks, vectors, queued work, failures.';
revoke execute on function loci_private.remove_rows(bigint []) from public;
