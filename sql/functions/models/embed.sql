create or replace function loci.embed(text text, model text default null, kind text default 'query')
returns public.halfvec
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$ select v from loci.embed_batch(array[embed.text], embed.model, embed.kind) as v $$;
comment on function loci.embed(text, text, text) is
'Vector of one text. model: by name, null for the one in force; kind: query or passage.';
revoke execute on function loci.embed(text, text, text) from public;
grant execute on function loci.embed(text, text, text) to loci_app, loci_admin;
