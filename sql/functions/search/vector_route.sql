create or replace function loci_private.vector_route(
    model_id integer,
    filter loci_private.search_filter,
    k integer,
    want integer,
    out path text,
    out reason text,
    out visible bigint,
    out counted boolean,
    out total bigint,
    out exact_limit bigint,
    out ef_search integer,
    out max_scan_tuples integer,
    out candidates integer
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_table text := loci_private.model_table(model_id);
    v_index boolean;
    v_binary boolean;
    v_limit text;
    v_narrowed boolean := num_nonnulls(
        (filter).metadata, (filter).since, (filter).until, (filter).required, (filter).excluded
    ) > 0;
    v_share float8;
    v_unrestricted float8;
    v_estimate bigint;
begin
    path := 'exact';
    counted := false;
    select m.quantization = 'binary', i.indisvalid,
        case
            when c.relpages > 0 then c.reltuples::float8 / c.relpages
            else 8000.0 / (m.dimensions * 2 + 100)
        end * pg_relation_size(c.oid) / 8192
    into v_binary, v_index, total
    from loci.embedding_models as m
    join pg_class as c on c.oid = to_regclass(format('loci_private.%I', v_table))
    left join pg_index as i on i.indexrelid = to_regclass(format('loci_private.%I', v_table || '_hnsw')) and i.indrelid = c.oid
    where m.model_id = vector_route.model_id;
    if v_index is not true then
        reason := 'the model has no index';
        return;
    end if;
    if (filter).within is not null then
        reason := 'few chunks have the phrase';
        visible := cardinality((filter).within);
        return;
    end if;

    -- Comparing a row costs one. A step of the graph (ef_search) costs 25; a good answer takes about as many steps as are
    -- computed below. Both cost the same at:
    v_limit := loci.setting('exact_scan_limit');
    exact_limit := coalesce(
        v_limit::bigint,
        floor(12.5 * (120 + 5 * k) + sqrt((12.5 * (120 + 5 * k)) ^ 2 + 75.0 * k * total))
    );
    -- Sources are no sample: what lies nearest may be just what they leave out, and then the walk was for nothing.
    if (filter).sources is not null and v_limit is null then
        exact_limit := 2 * exact_limit;
    end if;
    if total <= exact_limit then
        reason := 'the model has few vectors';
        visible := total;
        return;
    end if;

    -- There are no more vectors than chunks.
    visible := loci_private.few_chunks((filter).scopes);
    if visible is not null then
        reason := 'few enough vectors to compare them all';
        return;
    end if;

    -- Statistics know the large scopes well. Small ones are counted: the index of scopes answers alone.
    select least(1, coalesce(sum(k.frequency), 0)
        + (cardinality((filter).scopes) - count(k.value)) * greatest(0, 1 - coalesce(max(k.every), 0))
        / greatest(1, max(k.distinct_values) - coalesce(max(k.known), 0)))
    into v_share
    from (
        select v.value, v.frequency, e.every, cardinality(s.most_common_freqs) as known,
            case when s.n_distinct < 0 then -s.n_distinct * total else s.n_distinct end as distinct_values
        from pg_stats as s
        cross join lateral (select sum(f) as every from unnest(s.most_common_freqs) as f) as e
        left join lateral (
            select u.value, u.frequency
            from unnest(s.most_common_vals::text::uuid[], s.most_common_freqs) as u (value, frequency)
            where u.value = any((filter).scopes)
        ) as v on true
        where s.schemaname = 'loci_private' and s.tablename = v_table and s.attname = 'scope_id'
    ) as k;
    select s.null_frac into v_unrestricted
    from pg_stats as s
    where s.schemaname = 'loci_private' and s.tablename = v_table and s.attname = 'audience';
    v_estimate := coalesce(v_share * v_unrestricted * total, 0);
    visible := v_estimate;
    if visible <= 1.5 * exact_limit or (filter).sources is not null then
        counted := true;
        -- Audiences are left to the estimate: an index knows the rest without reading a row.
        visible := loci_private.count_vectors(
            v_table,
            'x.scope_id = any(($1).scopes)' || case when (filter).sources is not null then ' and x.source_id = any(($1).sources)' else '' end,
            filter, exact_limit + 1
        );
    end if;
    if visible > exact_limit and v_estimate > visible then
        -- Counting stopped early: there are more than that.
        counted := false;
        visible := v_estimate;
    end if;
    if visible > exact_limit and v_narrowed then
        counted := true;
        visible := loci_private.count_vectors(v_table, loci_private.filter_sql(filter), filter, exact_limit + 1);
    end if;
    if visible <= exact_limit then
        reason := 'few enough vectors to compare them all';
        return;
    end if;

    path := 'index';
    reason := 'too many vectors to compare them all';
    -- The graph is walked wide enough to meet so many visible vectors as a good answer takes, and further if it did not.
    candidates := greatest(want, case when v_binary then 50 + 12 * k else 2 * k end);
    ef_search := least(1000, case
        when v_binary then greatest(120 + 5 * k, 1.2 * candidates * total / visible)
        else greatest(120 + 5 * k + 3.0 * k * total / visible, 1.2 * candidates * total / visible)
    end);
    -- No further than comparing all would cost: what is nearest may be just what the filter leaves out.
    max_scan_tuples := least(2000000000, greatest(5.0 * candidates * total / visible, visible / 25.0));
end $$;
comment on function loci_private.vector_route(integer, loci_private.search_filter, integer, integer) is
'How to find the want nearest vectors of a model, of which the k nearest have to be right: exact (compare all that may be found) or index (walk the graph), why, and with which settings. visible: how many may be found, counted up to exact_limit + 1, else about so many.';
revoke execute on function loci_private.vector_route(integer, loci_private.search_filter, integer, integer) from public;
