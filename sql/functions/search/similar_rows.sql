create or replace function loci_private.similar_rows(
    source text,
    key text,
    k integer,
    min_similarity double precision,
    filter loci_private.search_filter
)
returns table (
    source_name text,
    row_key text,
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
as $$
#variable_conflict use_column
declare
    v_everything loci_private.search_filter := loci_private.search_filter(null, null, null, null, null);
    v_row bigint;
    v_model integer;
    v_vector public.halfvec;
    v_own integer;
    v_want integer;
    v_ids bigint[];
    v_distances float8[];
    v_rows integer;
begin
    perform loci_private.check_k(similar_rows.k);
    -- Whatever the result is narrowed to, the row itself may be anything that the user sees.
    select r.row_id, (loci_private.assignment_of(r.organization_id)).active_model into v_row, v_model
    from loci_private.source_rows as r
    join loci_private.sources as s on s.source_id = r.source_id
    where s.name = similar_rows.source and not s.internal and r.key = similar_rows.key
        and loci.is_visible(r.scope_id, r.audience, v_everything.scopes, v_everything.principals)
        and r.source_id not in (select h.source_id from loci_private.hidden_sources as h)
        and r.row_id not in (select h.row_id from loci_private.hidden_rows as h);
    if v_row is null then
        raise exception 'you see no row "%" in a source "%"', similar_rows.key, similar_rows.source
            using errcode = 'LC304', hint = 'Pass source and key as a search returns them.';
    end if;
    if v_model is not null then
        -- What its passages have in common.
        execute format(
            'select public.l2_normalize(public.avg(x.embedding)), count(*) from loci_private.%I as x where x.row_id = $2 and %s',
            loci_private.model_table(v_model), loci_private.filter_sql(v_everything, false)
        ) into v_vector, v_own using v_everything, v_row;
    end if;
    if v_vector is null or not public.l2_norm(v_vector) > 0 then
        raise exception 'row "%" of source "%" has no vectors yet', similar_rows.key, similar_rows.source
            using errcode = 'LC307', hint = 'The drain makes them; select * from loci.progress shows how far it is.';
    end if;
    v_want := 2 * similar_rows.k + v_own;
    loop
        select array_agg(v.chunk_id), array_agg(v.distance), count(distinct c.row_id) filter (where c.row_id <> v_row)
        into v_ids, v_distances, v_rows
        from loci_private.vector_candidates(
            v_model, v_vector, similar_rows.filter, similar_rows.min_similarity, v_want, v_want
        ) as v
        join loci_private.chunks as c on c.chunk_id = v.chunk_id;
        -- Long rows crowd out others: look further until there are enough, or no more.
        exit when v_rows >= similar_rows.k or coalesce(cardinality(v_ids), 0) < v_want;
        v_want := 4 * v_want;
    end loop;
    return query
    select s.name, r.key, c.chunk_id, c.ordinal, c.content, r.title, c.scope_id, r.metadata || c.metadata,
        (1 - b.distance)::real, (1 - b.distance)::real, b.place::integer, null::integer
    from (
        select o.chunk_id, o.distance, row_number() over (order by o.distance, o.chunk_id) as place
        from (
            select distinct on (c.row_id) c.chunk_id, n.distance
            from unnest(v_ids, v_distances) as n (chunk_id, distance)
            join loci_private.chunks as c on c.chunk_id = n.chunk_id
            where c.row_id <> v_row
            order by c.row_id, n.distance, c.chunk_id
        ) as o
    ) as b
    join loci_private.chunks as c on c.chunk_id = b.chunk_id
    join loci_private.source_rows as r on r.row_id = c.row_id
    join loci_private.sources as s on s.source_id = r.source_id
    where b.place <= similar_rows.k
    order by b.place;
end $$;
comment on function loci_private.similar_rows(
    text, text, integer, double precision, loci_private.search_filter
) is 'loci.similar() itself: looks the row up, then for the rows nearest to the mean of its vectors.';
revoke execute on function loci_private.similar_rows(
    text, text, integer, double precision, loci_private.search_filter
) from public;
