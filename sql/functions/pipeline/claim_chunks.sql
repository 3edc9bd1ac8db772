create or replace function loci_private.claim_chunks(lease uuid, model_id integer)
returns table (queue_id bigint, chunk_id bigint, text_hash text, passage text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_ids bigint[];
    v_batch integer;
begin
    select m.max_batch into strict v_batch from loci.embedding_models as m where m.model_id = claim_chunks.model_id;
    select array_agg(c.id) into v_ids
    from loci_private.claim('embed_queue', claim_chunks.lease, v_batch, claim_chunks.model_id) as c (id);
    return query
    select q.queue_id, q.chunk_id, encode(c.text_hash, 'hex'), concat_ws(E'\n\n', c.context, c.content)
    from loci_private.embed_queue as q
    left join loci_private.chunks as c on c.chunk_id = q.chunk_id
    where q.queue_id = any(v_ids)
    order by q.queue_id;
end $$;
comment on function loci_private.claim_chunks(uuid, integer) is
'Lease the next chunks that need a vector of this model; passage is null for a chunk that is gone.';
revoke execute on function loci_private.claim_chunks(uuid, integer) from public;
grant execute on function loci_private.claim_chunks(uuid, integer) to loci_worker;
