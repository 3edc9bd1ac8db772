create or replace function loci_private.similarity_sql(models integer [], chunk text, vectors text)
returns text
language plpgsql immutable parallel safe
as $$
begin
    return (
        select coalesce(
            string_agg(
                format(
                    'select 1 - (x.embedding operator(public.<=>) (%s)[%s]::public.halfvec) as similarity, %s as model '
                    'from loci_private.%I as x where x.chunk_id = %s',
                    similarity_sql.vectors, m.n, m.n, loci_private.model_table(m.model_id), similarity_sql.chunk
                ), ' union all ' order by m.n
            ),
            'select null::float8 as similarity, null::integer as model where false'
        )
        from unnest(similarity_sql.models) with ordinality as m (model_id, n)
    );
end $$;
comment on function loci_private.similarity_sql(integer [], text, text) is
'SQL text that gives the cosine similarity of one chunk to the question, and which of the models says so. chunk: an expression for its id; vectors: one for the question''s vectors, one a model.';
revoke execute on function loci_private.similarity_sql(integer [], text, text) from public;
