create or replace function loci.add_embedding_model(
    name text,
    provider text default 'litellm',
    dimensions integer default 1536,
    gateway text default 'default',
    query_prefix text default '',
    passage_prefix text default '',
    max_batch integer default 100,
    max_tokens integer default 8191,
    tokenizer text default null,
    version text default '1',
    quantization text default 'none'
)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_model integer;
begin
    if name is null or btrim(name) = '' then
        raise exception 'a model needs a name' using errcode = 'LC210', hint = 'Use the name the provider knows it by.';
    end if;
    if provider is null or provider not in ('litellm', 'local', 'hash', 'pgai') then
        raise exception 'there is no provider "%"', provider
            using errcode = 'LC211', hint = 'Providers: litellm, local, hash, pgai.';
    end if;
    if provider = 'local' and dimensions <> 384 then
        raise exception 'the local model has 384 dimensions, not %', dimensions
            using errcode = 'LC212', hint = 'Pass dimensions => 384.';
    end if;
    if dimensions is null or dimensions not between 8 and 4000 then
        raise exception 'a model cannot have % dimensions', dimensions
            using errcode = 'LC212', hint = 'An HNSW index over halfvec takes 8 to 4000 dimensions.';
    end if;
    if quantization is null or quantization not in ('none', 'binary') then
        raise exception 'there is no quantization "%"', coalesce(quantization, 'null')
            using errcode = 'LC222', hint = 'Use none or binary.';
    end if;
    if quantization = 'binary' and dimensions < 256 then
        raise exception '% dimensions are too few for binary quantization', dimensions
            using errcode = 'LC222', detail = 'One bit a dimension says too little then: most neighbours would be missed.',
            hint = 'Use quantization => none; binary takes 256 dimensions or more.';
    end if;
    insert into loci.embedding_models (
        name, provider, version, dimensions, gateway, query_prefix, passage_prefix, tokenizer, max_batch, max_tokens,
        quantization
    ) values (
        name, provider, version, dimensions, case when provider not in ('local', 'hash') then gateway end,
        query_prefix, passage_prefix,
        coalesce(tokenizer, case provider when 'local' then 'e5' else 'cl100k' end),
        max_batch, max_tokens, quantization
    )
    on conflict on constraint embedding_models_name_key do nothing
    returning model_id into v_model;
    if v_model is null then
        raise exception 'there is a model "%" already', name
            using errcode = 'LC213', hint = 'Drop it first with loci.drop_embedding_model(), or choose another name.';
    end if;
    perform loci_private.create_model_table(v_model, dimensions);
    return v_model;
end $$;
comment on function loci.add_embedding_model(text, text, integer, text, text, text, integer, integer, text, text, text) is
'Register an embedding model and make its table of vectors; returns its id. Nothing uses it before loci.use_embedding_model(). quantization => binary: an index of one bit a dimension, for large models and many vectors. LC210 to LC213 and LC222 for bad arguments.';
revoke execute on function loci.add_embedding_model(text, text, integer, text, text, text, integer, integer, text, text, text) from public;
grant execute on function loci.add_embedding_model(text, text, integer, text, text, text, integer, integer, text, text, text) to loci_admin;
