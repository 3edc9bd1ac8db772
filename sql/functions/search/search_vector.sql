create or replace function loci.search_vector(
    query public.halfvec,
    k integer default 5,
    min_similarity double precision default null,
    scopes uuid [] default null,
    sources text [] default null,
    metadata jsonb default null,
    since timestamptz default null,
    until timestamptz default null,
    model text default null
)
returns setof loci.passage
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select p.*
    from loci_private.nearest(
        search_vector.query, search_vector.k, search_vector.min_similarity,
        loci_private.search_filter(
            search_vector.scopes, search_vector.sources, search_vector.metadata, search_vector.since, search_vector.until
        ),
        search_vector.model
    ) as p;
end $$;
comment on function loci.search_vector(
    public.halfvec, integer, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, text
) is
'The k passages nearest to a vector, among exactly those the current user may see; arguments and columns as in loci.search(). The vector must come from the model that the rows have; model names it where they have several. If k rows match, k come back. LC302, LC305, LC306, LC214, LC249 for bad arguments.';
revoke execute on function loci.search_vector(
    public.halfvec, integer, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, text
) from public;
grant execute on function loci.search_vector(
    public.halfvec, integer, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, text
) to loci_app, loci_admin;
