create or replace function loci.search(
    query text,
    k integer default 5,
    mode text default 'hybrid',
    min_similarity double precision default null,
    scopes uuid [] default null,
    sources text [] default null,
    metadata jsonb default null,
    since timestamptz default null,
    until timestamptz default null,
    merge boolean default false,
    rerank boolean default false,
    expand boolean default false
)
returns setof loci.passage
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_began timestamptz;
    v_results integer;
begin
    if search.merge or search.rerank or search.expand then
        v_began := loci_private.now();
        return query
        select p.*
        from loci_private.search_text(
            search.query, search.k, search.mode, search.min_similarity, search.scopes, search.sources, search.metadata,
            search.since, search.until, coalesce(search.merge, false), coalesce(search.rerank, false),
            coalesce(search.expand, false)
        ) as p;
        get diagnostics v_results = row_count;
        perform loci_private.note_search(v_began, v_results, null);
        return;
    end if;
    return query
    select p.*
    from loci_private.cached_search(
        search.query, search.k, search.mode, search.min_similarity, search.scopes, search.sources, search.metadata,
        search.since, search.until
    ) as p;
end $$;
comment on function loci.search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) is
'The k passages that answer a question best, among exactly those the current user may see. "A phrase" must occur, -word must not (not in mode vector). mode: hybrid, vector or keyword; filters: min_similarity (cosine), scopes, sources, metadata (jsonb containment), since and until (when the row was last indexed). merge: neighbouring chunks of a row become one passage. rerank, expand: a model puts the passages in order, words the question in other ways; without it, with a notice, where that fails. score: 0 to 1, the mean of meaning and words, each scaled to the best passage; with rerank the model''s. If k rows match, k come back; copies of a passage count once. LC300, LC302, LC303, LC249 for bad arguments.';
revoke execute on function loci.search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) from public;
grant execute on function loci.search(
    text, integer, text, double precision, uuid [], text [], jsonb, timestamptz, timestamptz, boolean, boolean, boolean
) to loci_app, loci_admin;
