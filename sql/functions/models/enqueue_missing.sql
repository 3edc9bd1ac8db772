create or replace function loci_private.enqueue_missing(model_id integer)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    execute format(
        'insert into loci_private.embed_queue (model_id, chunk_id)
        select $1, c.chunk_id
        from loci_private.chunks as c
        cross join lateral loci_private.assignment_of(c.organization_id) as a
        where $1 in (a.active_model, a.target_model)
            and not exists (select from loci_private.%I as e where e.chunk_id = c.chunk_id)
            and not exists (
                select from loci_private.failures as f where f.chunk_id = c.chunk_id and f.model_id = $1
            )
        order by c.chunk_id
        on conflict do nothing', loci_private.model_table(model_id)
    ) using model_id;
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci_private.enqueue_missing(integer) is
'Queue every chunk that needs a vector of this model and has none; returns how many.';
revoke execute on function loci_private.enqueue_missing(integer) from public;
