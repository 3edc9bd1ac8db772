create or replace function loci_private.nearest(
    query public.halfvec,
    k integer,
    min_similarity double precision,
    filter loci_private.search_filter,
    model text
)
returns table (
    source text,
    key text,
    chunk_id bigint,
    ordinal integer,
    content text,
    title text,
    scope_id uuid,
    row_metadata jsonb,
    score real,
    similarity real,
    vector_rank integer,
    keyword_rank integer
)
language plpgsql stable parallel unsafe
set search_path = pg_catalog, pg_temp
-- Planned once a session. What depends on who asks is put together and planned anew where it is asked.
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_model loci.embedding_models;
begin
    perform loci_private.check_k(nearest.k);
    if nearest.query is null or not public.l2_norm(nearest.query) > 0 then
        raise exception 'the vector is %', case when nearest.query is null then 'null' else 'all zeros' end
            using errcode = 'LC305', hint = 'The function loci.embed makes one.';
    end if;
    v_model := loci_private.model_for(nearest.model, (nearest.filter).scopes);
    if v_model.model_id is null or cardinality((nearest.filter).scopes) = 0 then
        return;
    end if;
    if public.vector_dims(nearest.query) <> v_model.dimensions then
        raise exception 'the vector has % dimensions, those of model "%" have %',
            public.vector_dims(nearest.query), v_model.name, v_model.dimensions
            using errcode = 'LC305', hint = format('The function loci.embed makes one that fits with model => %L.', v_model.name);
    end if;
    return query
    select s.name, r.key, c.chunk_id, c.ordinal, c.content, r.title, c.scope_id, r.metadata || c.metadata,
        (1 - n.distance)::real, (1 - n.distance)::real, n.place::integer, null::integer
    from (
        select v.chunk_id, v.distance, row_number() over (order by v.distance, v.chunk_id) as place
        from loci_private.vector_candidates(
            v_model.model_id, nearest.query, nearest.filter, nearest.min_similarity, nearest.k, nearest.k
        ) as v
    ) as n
    join loci_private.chunks as c on c.chunk_id = n.chunk_id
    join loci_private.source_rows as r on r.row_id = c.row_id
    join loci_private.sources as s on s.source_id = r.source_id
    order by n.place;
end $$;
comment on function loci_private.nearest(
    public.halfvec, integer, double precision, loci_private.search_filter, text
) is 'loci.search_vector() itself: finds the model, checks the vector against it, and reads the passages.';
revoke execute on function loci_private.nearest(
    public.halfvec, integer, double precision, loci_private.search_filter, text
) from public;
