create or replace function loci_private.claim_chunks(lease uuid, model_id integer, most integer default null)
returns table (queue_id bigint, chunk_id bigint, text_hash text, passage text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_ids bigint[];
    v_batch integer;
    v_stale bigint[];
begin
    select case
        -- After an outage one text tries whether the gateway is back.
        when exists (
            select from loci_private.model_health as h where h.model_id = m.model_id and h.outages > 0
        ) then 1
        else least(m.max_batch * coalesce(g.max_concurrency, 1), claim_chunks.most)
    end into strict v_batch
    from loci.embedding_models as m
    left join loci_private.gateways as g on g.gateway = m.gateway
    where m.model_id = claim_chunks.model_id;
    select array_agg(c.id) into v_ids
    from loci_private.claim('embed_queue', claim_chunks.lease, v_batch, claim_chunks.model_id) as c (id);
    -- What was split before its organization wanted something else redacted is split again, never sent.
    with queued as materialized (
        select q.queue_id, r.source_id, r.key, r.organization_id, r.redaction
        from loci_private.embed_queue as q
        join loci_private.chunks as c on c.chunk_id = q.chunk_id
        join loci_private.source_rows as r on r.row_id = c.row_id
        where q.queue_id = any(v_ids)
    ), wanted as materialized (
        select o.organization_id, (loci_private.redaction_of(o.organization_id)).marker
        from (select distinct q.organization_id from queued as q) as o
    ), stale as (
        select q.queue_id, q.source_id, q.key
        from queued as q
        join wanted as w on w.organization_id is not distinct from q.organization_id
        where q.redaction <> w.marker
    ), again as (
        insert into loci_private.row_queue (source_id, key, op)
        select distinct s.source_id, s.key, 'upsert' from stale as s
    )
    select coalesce(array_agg(s.queue_id), '{}') into v_stale from stale as s;
    return query
    select q.queue_id, q.chunk_id, encode(c.text_hash, 'hex'),
        case
            when q.queue_id <> all(v_stale)
                and exists (select from loci_private.wanted_vectors as w where w.chunk_id = q.chunk_id and w.model_id = q.model_id)
                then coalesce(c.redacted, concat_ws(E'\n\n', c.context, c.content))
        end
    from loci_private.embed_queue as q
    left join loci_private.chunks as c on c.chunk_id = q.chunk_id
    where q.queue_id = any(v_ids)
    order by q.queue_id;
end $$;
comment on function loci_private.claim_chunks(uuid, integer, integer) is
'Lease the next chunks that need a vector of this model, no more than most; passage is null for a chunk that is gone, that the model is no longer wanted for, or that has to be redacted first.';
revoke execute on function loci_private.claim_chunks(uuid, integer, integer) from public;
grant execute on function loci_private.claim_chunks(uuid, integer, integer) to loci_worker;
