-- What a search may find: the visible scopes and principals of who is asking, and what they narrowed it to (null: all).
-- hidden: sets of chunks that are not in use (null: there are none). internal: sources that no search returns. required,
-- excluded: what the text of a passage must and must not match.
create type loci_private.search_filter as (
    scopes uuid [],
    principals uuid [],
    sources integer [],
    metadata jsonb,
    since timestamptz,
    until timestamptz,
    hidden text [],
    internal integer [],
    required tsquery,
    excluded tsquery,
    within bigint []
);

-- The words of a question, each with its weight (the rarer, the more), and how long a chunk is on average. any_word
-- matches whatever has one of them; likely, far cheaper, what can be among the best. common: that is so much that it is
-- met soon wherever one looks. rough: the words again, in a few groups of about the same weight.
create type loci_private.search_words as (
    words tsquery [],
    weights double precision [],
    rough tsquery [],
    rough_weights double precision [],
    mean_length double precision,
    any_word tsquery,
    likely tsquery,
    common boolean
);
