create or replace function loci_private.enqueue_missing(model_id integer, source_id integer default null)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    execute format(
        'insert into loci_private.embed_queue (model_id, chunk_id)
        select $1, w.chunk_id
        from loci_private.wanted_vectors as w
        where w.model_id = $1 and ($2 is null or w.source_id = $2)
            and not exists (select from loci_private.%I as e where e.chunk_id = w.chunk_id)
            and not exists (
                select from loci_private.failures as f where f.chunk_id = w.chunk_id and f.model_id = $1
            )
        order by w.chunk_id
        on conflict do nothing', loci_private.model_table(model_id)
    ) using model_id, source_id;
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci_private.enqueue_missing(integer, integer) is
'Queue every chunk (of one source or of all) that needs a vector of this model and has none; returns how many.';
revoke execute on function loci_private.enqueue_missing(integer, integer) from public;
