create or replace function loci_private.indexed_sql(model_id integer, prefix text)
returns text
language sql stable parallel safe
as $$
    select case m.quantization
        when 'binary' then pg_catalog.format('(public.binary_quantize(%sembedding)::bit(%s))', prefix, m.dimensions)
        else prefix || 'embedding'
    end
    from loci.embedding_models as m
    where m.model_id = indexed_sql.model_id
$$;
comment on function loci_private.indexed_sql(integer, text) is
'SQL text of what the index of a model''s vectors is over; prefix: what stands before the column.';
revoke execute on function loci_private.indexed_sql(integer, text) from public;
