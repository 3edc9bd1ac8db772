create or replace function loci_private.embed_questions(texts text [], model_id integer)
returns text []
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_access text := loci_private.cache_access();
    v_keep interval;
    v_model jsonb;
    v_keys bytea[];
    v_vectors text[];
    v_missing text[];
    v_made text[];
    v_m integer := 0;
begin
    if v_access <> 'none' then
        v_keep := (loci_private.cache_limits('embedding')).keep;
    end if;
    v_model := loci_private.model_config(embed_questions.model_id);
    if v_keep is null or v_model is null or coalesce(cardinality(embed_questions.texts), 0) = 0 then
        return loci_private.embed_texts(embed_questions.texts, loci_private.query_config(embed_questions.model_id), 'query');
    end if;
    -- A vector follows from the text and the model alone, so that it is nobody's. Case changes it and stays in the key.
    v_keys := array(
        select sha256(convert_to(row(
            'embedding', 'query', v_model - '{max_batch,gateway}'::text[], v_model #>> '{gateway,base_url}',
            loci_private.cache_folded(t.text)
        )::text, 'UTF8'))
        from unnest(embed_questions.texts) with ordinality as t (text, n)
        order by t.n
    );
    select array_agg(e.embedding::text order by u.n), array_agg(embed_questions.texts[u.n] order by u.n) filter (where e.embedding is null)
    into v_vectors, v_missing
    from unnest(v_keys) with ordinality as u (key, n)
    left join lateral (
        select c.embedding
        from loci_private.cache as c
        where c.key = u.key and c.made_at > loci_private.now() - v_keep
        order by c.made_at desc
        limit 1
    ) as e on true;
    if v_access = 'write' then
        perform nextval('loci_private.cache_embedding_hits') from unnest(v_vectors) as v where v is not null;
        perform loci_private.cache_used(u.key, v_keep / 20) from unnest(v_keys, v_vectors) as u (key, vector) where u.vector is not null;
    end if;
    if v_missing is null then
        return v_vectors;
    end if;
    v_made := loci_private.embed_texts(v_missing, loci_private.query_config(embed_questions.model_id), 'query');
    for v_n in 1 .. cardinality(v_vectors) loop
        continue when v_vectors[v_n] is not null;
        v_m := v_m + 1;
        v_vectors[v_n] := v_made[v_m];
        if v_access = 'write' then
            perform nextval('loci_private.cache_embedding_misses');
            if loci_private.cache_room('embedding', v_keys[v_n]) then
                insert into loci_private.cache (kind, key, made_at, used_at, model_id, embedding)
                select 'embedding', v_keys[v_n], n.now, n.now, embed_questions.model_id, v_made[v_m]::public.halfvec
                from (select loci_private.now()) as n (now);
            end if;
        end if;
    end loop;
    return v_vectors;
end $$;
comment on function loci_private.embed_questions(text [], integer) is
'Vectors of questions that may be sent to a model as they are (redacted), from the cache where they are known; LC409 only where they are not.';
revoke execute on function loci_private.embed_questions(text [], integer) from public;
