create or replace function loci_private.pending_models()
returns setof integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select m.model_id
    from loci.embedding_models as m
    where exists (
        select from loci_private.embed_queue as q
        where q.model_id = m.model_id and q.available_at <= loci_private.now()
    )
        and not exists (
            select from loci_private.model_health as h
            where h.model_id = m.model_id and h.cooldown_until > loci_private.now()
        )
    order by m.model_id;
end $$;
comment on function loci_private.pending_models() is 'Models that chunks are waiting for and whose gateway is not to be left alone.';
revoke execute on function loci_private.pending_models() from public;
grant execute on function loci_private.pending_models() to loci_worker;
