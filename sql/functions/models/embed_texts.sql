create or replace function loci_private.embed_texts(texts text [], model jsonb, kind text)
returns text []
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import embedding
return embedding.embed_texts(plpy, texts, model, kind)
$$;
comment on function loci_private.embed_texts(text [], jsonb, text) is
'Embed texts with one model, through its provider; vectors in pgvector''s text form.';
revoke execute on function loci_private.embed_texts(text [], jsonb, text) from public;
