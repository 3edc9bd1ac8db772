create or replace function loci_private.place_vectors(row_id bigint)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
-- Rows are found by index, whatever size the tables had when the session planned this.
set enable_seqscan = off
as $$
declare
    v_model integer;
    v_wanted bigint[];
begin
    for v_model, v_wanted in
        select m.model_id, array(
            select w.chunk_id
            from loci_private.wanted_vectors as w
            where w.row_id = place_vectors.row_id and w.model_id = m.model_id
            order by w.in_use desc, w.chunk_id
        )
        from loci.embedding_models as m
    loop
        execute format(
            'update loci_private.%I as e
            set chunking_id = c.chunking_id, scope_id = c.scope_id, audience = c.audience, organization_id = c.organization_id
            from loci_private.chunks as c
            where e.row_id = $1 and c.chunk_id = e.chunk_id
                and (e.chunking_id, e.scope_id, e.audience, e.organization_id)
                is distinct from (c.chunking_id, c.scope_id, c.audience, c.organization_id)',
            loci_private.model_table(v_model)
        ) using place_vectors.row_id;
        if cardinality(v_wanted) > 0 then
            execute format(
                'insert into loci_private.embed_queue (model_id, chunk_id)
                select $1, w.chunk_id
                from unnest($2) with ordinality as w (chunk_id, n)
                where not exists (select from loci_private.%I as e where e.chunk_id = w.chunk_id)
                    and not exists (select from loci_private.failures as f where f.chunk_id = w.chunk_id and f.model_id = $1)
                order by w.n
                on conflict do nothing', loci_private.model_table(v_model)
            ) using v_model, v_wanted;
        end if;
    end loop;
end $$;
comment on function loci_private.place_vectors(bigint) is
'Bring the vectors of a row in line with its chunks, and queue the chunks that need one.';
revoke execute on function loci_private.place_vectors(bigint) from public;
