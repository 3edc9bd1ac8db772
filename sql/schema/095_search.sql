-- What a search may find: the visible scopes and principals of who is asking, and what they narrowed it to (null: all).
create type loci_private.search_filter as (
    scopes uuid [],
    principals uuid [],
    sources integer [],
    metadata jsonb,
    since timestamptz,
    until timestamptz
);
