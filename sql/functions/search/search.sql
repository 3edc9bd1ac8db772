create or replace function loci.search(
    query text,
    k integer default 5,
    mode text default 'hybrid',
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
    from loci_private.cached_search(
        search.query, search.k, search.mode, search.min_similarity, search.scopes, search.sources, search.metadata,
        search.since, search.until
    ) as p;
end $$;
comment on function loci.search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) is
'The k passages that answer a question best, among exactly those the current user may see. mode: hybrid, vector or keyword; filters: min_similarity (cosine), scopes, sources, metadata (jsonb containment), since and until (when the row was last indexed). If k rows match, k come back. LC300, LC302, LC303, LC249 for bad arguments.';
revoke execute on function loci.search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) from public;
grant execute on function loci.search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz
) to loci_app, loci_admin;
