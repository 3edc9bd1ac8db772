create or replace function loci_private.model_config(model_id integer)
returns jsonb
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select to_jsonb(m)
    from loci.embedding_models as m
    where m.model_id = model_config.model_id
$$;
comment on function loci_private.model_config(integer) is 'Everything a provider needs to know of one model.';
revoke execute on function loci_private.model_config(integer) from public;
grant execute on function loci_private.model_config(integer) to loci_worker;
