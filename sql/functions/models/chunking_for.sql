create or replace function loci_private.chunking_for(
    model loci.embedding_models, chunk_tokens integer, chunk_overlap integer,
    out tokenizer text, out max_tokens integer, out size integer, out overlap integer
)
language sql immutable parallel safe
as $$
    select model.tokenizer, model.max_tokens, z.size, least(chunk_overlap, z.size / 2)
    -- Beside a chunk there has to be room for its context, and for what the model puts around both.
    from (select least(chunk_tokens, greatest(model.max_tokens - 84, least(50, model.max_tokens - 12))) as size) as z
$$;
comment on function loci_private.chunking_for(loci.embedding_models, integer, integer) is
'How a text is cut for a model where a source wants chunks of so many tokens with so many overlapping: no longer than the model takes.';
revoke execute on function loci_private.chunking_for(loci.embedding_models, integer, integer) from public;
