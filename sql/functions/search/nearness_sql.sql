create or replace function loci_private.nearness_sql(model_id integer)
returns text
language sql stable parallel safe
as $$
    select case m.quantization
        when 'binary' then pg_catalog.format(
            '%s operator(public.<~>) public.binary_quantize($2)::bit(%s)', loci_private.indexed_sql(m.model_id, 'x.'), m.dimensions
        )
        else 'x.embedding operator(public.<=>) $2'
    end
    from loci.embedding_models as m
    where m.model_id = nearness_sql.model_id
$$;
comment on function loci_private.nearness_sql(integer) is
'SQL text that orders vectors x of a model by their distance to $2 as the model''s index does.';
revoke execute on function loci_private.nearness_sql(integer) from public;
