-- What a search returns. A type of its own, because PL/pgSQL cannot return a column that is named like an argument.
create type loci.passage as (
    source text,
    key text,
    chunk_id bigint,
    ordinal integer,
    content text,
    title text,
    scope_id uuid,
    metadata jsonb,
    score real,
    similarity real,
    vector_rank integer,
    keyword_rank integer
);
