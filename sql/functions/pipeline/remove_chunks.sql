create or replace function loci_private.remove_chunks(chunk_ids bigint [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
-- Rows are found by index, whatever size the tables had when the session planned this.
set enable_seqscan = off
as $$
declare
    v_model integer;
begin
    -- A drain that is just writing vectors of these chunks holds them; what it writes must be seen below.
    perform from loci_private.chunks as c where c.chunk_id = any(remove_chunks.chunk_ids) order by c.chunk_id for update;
    for v_model in select m.model_id from loci.embedding_models as m loop
        execute format('delete from loci_private.%I as e where e.chunk_id = any($1)', loci_private.model_table(v_model))
        using remove_chunks.chunk_ids;
    end loop;
    delete from loci_private.embed_queue as q where q.chunk_id = any(remove_chunks.chunk_ids);
    delete from loci_private.failures as f where f.chunk_id = any(remove_chunks.chunk_ids);
    delete from loci_private.chunks as c where c.chunk_id = any(remove_chunks.chunk_ids);
end $$;
comment on function loci_private.remove_chunks(bigint []) is
'Remove chunks with their vectors, queued work and failures; their rows stay.';
revoke execute on function loci_private.remove_chunks(bigint []) from public;
