create or replace function loci.similar(
    source text,
    key text,
    k integer default 5,
    min_similarity double precision default null,
    scopes uuid [] default null,
    sources text [] default null,
    metadata jsonb default null,
    since timestamptz default null,
    until timestamptz default null
)
returns setof loci.passage
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select p.*
    from loci_private.similar_rows(
        "similar".source, "similar".key, "similar".k, "similar".min_similarity,
        loci_private.search_filter("similar".scopes, "similar".sources, "similar".metadata, "similar".since, "similar".until)
    ) as p;
end $$;
comment on function loci.similar(
    text, text, integer, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) is
'The k rows most like a row of a source (its key as loci.search() returns it), among exactly those the current user may see, the best passage of each; further arguments and columns as in loci.search(). LC304 when the user sees no such row, LC307 when it has no vectors yet; LC302, LC249 for bad arguments.';
revoke execute on function loci.similar(
    text, text, integer, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) from public;
grant execute on function loci.similar(
    text, text, integer, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) to loci_app, loci_admin;
