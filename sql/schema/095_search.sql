-- What a search may find: the visible scopes and principals of who is asking, and what they narrowed it to (null: all).
-- hidden: sets of chunks that are not in use (null: there are none).
create type loci_private.search_filter as (
    scopes uuid [],
    principals uuid [],
    sources integer [],
    metadata jsonb,
    since timestamptz,
    until timestamptz,
    hidden text []
);
