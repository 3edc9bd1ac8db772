create or replace function loci_private.model_table(model_id integer)
returns text
language sql immutable parallel safe
as $$ select 'embeddings_' || model_id::text $$;
comment on function loci_private.model_table(integer) is 'Name of the table of one model''s vectors, in loci_private.';
revoke execute on function loci_private.model_table(integer) from public;
