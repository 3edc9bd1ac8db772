create or replace function loci_private.store_vectors(
    model_id integer, lease uuid, queue_ids bigint [], chunk_ids bigint [], vectors text []
)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_locked bigint[];
    v_left bigint[];
begin
    -- Chunks that somebody is deleting or moving right now are left for later: nobody waits for anybody. Shared locks keep
    -- their places as they are until the vectors are there to follow.
    select array_agg(c.chunk_id) into v_locked
    from (
        select c.chunk_id
        from loci_private.chunks as c
        where c.chunk_id = any(store_vectors.chunk_ids)
        order by c.chunk_id
        for share skip locked
    ) as c;
    execute format(
        'insert into loci_private.%I (
            chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, audience, embedding, created_at
        )
        select c.chunk_id, c.row_id, c.source_id, c.chunking_id, c.organization_id, c.scope_id, c.audience,
            v.embedding::public.halfvec, $4
        from unnest($1, $2) as v (chunk_id, embedding)
        join loci_private.chunks as c on c.chunk_id = v.chunk_id
        where c.chunk_id = any($3)
        on conflict (chunk_id) do nothing', loci_private.model_table(store_vectors.model_id)
    ) using store_vectors.chunk_ids, store_vectors.vectors, v_locked, loci_private.now();
    perform loci_private.note_change(array(select distinct c.scope_id from loci_private.chunks as c where c.chunk_id = any(v_locked)));
    select array_agg(v.queue_id) into v_left
    from unnest(store_vectors.queue_ids, store_vectors.chunk_ids) as v (queue_id, chunk_id)
    where not (v.chunk_id = any(coalesce(v_locked, '{}')))
        and exists (select from loci_private.chunks as c where c.chunk_id = v.chunk_id);
    perform loci_private.postpone(
        'embed_queue', store_vectors.lease, v_left, 5, '{"sqlstate": "55P03", "message": "the chunk is being changed"}'
    );
    perform loci_private.done('embed_queue', store_vectors.lease, store_vectors.queue_ids);
    return cardinality(v_locked);
end $$;
comment on function loci_private.store_vectors(integer, uuid, bigint [], bigint [], text []) is
'Write vectors of leased chunks, each once, with the scope and audience its chunk has now.';
revoke execute on function loci_private.store_vectors(integer, uuid, bigint [], bigint [], text []) from public;
grant execute on function loci_private.store_vectors(integer, uuid, bigint [], bigint [], text []) to loci_worker;
