create or replace function loci_private.similarities(models integer [], vectors text [], chunks bigint [])
returns table (chunk_id bigint, similarity double precision, model integer)
language plpgsql stable parallel unsafe rows 100
set search_path = pg_catalog, pg_temp
as $$
begin
    if cardinality(similarities.models) = 0 then
        return;
    end if;
    return query execute format(
        'select c.chunk_id, n.similarity, n.model from unnest($1) as c (chunk_id) cross join lateral (%s) as n',
        loci_private.similarity_sql(similarities.models, 'c.chunk_id', '$2')
    ) using similarities.chunks, similarities.vectors;
end $$;
comment on function loci_private.similarities(integer [], text [], bigint []) is
'The cosine similarity of chunks to the question, and which of the models says so; none for chunks without a vector. vectors: the question''s, one a model.';
revoke execute on function loci_private.similarities(integer [], text [], bigint []) from public;
