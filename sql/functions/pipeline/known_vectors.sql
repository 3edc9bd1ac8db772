create or replace function loci_private.known_vectors(model_id integer, text_hashes text [])
returns table (text_hash text, embedding text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query execute format(
        'select h.text_hash, k.embedding::text
        from unnest($1) as h (text_hash)
        cross join lateral (
            select e.embedding
            from loci_private.chunks as c
            join loci_private.%I as e on e.chunk_id = c.chunk_id
            where c.text_hash = decode(h.text_hash, ''hex'')
            limit 1
        ) as k', loci_private.model_table(known_vectors.model_id)
    ) using known_vectors.text_hashes;
end $$;
comment on function loci_private.known_vectors(integer, text []) is
'Vectors that this model has made already for identical text: nothing is embedded twice.';
revoke execute on function loci_private.known_vectors(integer, text []) from public;
grant execute on function loci_private.known_vectors(integer, text []) to loci_worker;
