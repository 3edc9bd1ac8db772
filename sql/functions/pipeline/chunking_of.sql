create or replace function loci_private.chunking_of(organization_id uuid)
returns table (tokenizer text, max_tokens integer)
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select m.tokenizer, m.max_tokens
    from loci_private.assignment_of(chunking_of.organization_id) as a
    join loci.embedding_models as m on m.model_id = a.target_model
$$;
comment on function loci_private.chunking_of(uuid) is 'What limits the chunks of an organization: its model''s tokenizer and longest text.';
revoke execute on function loci_private.chunking_of(uuid) from public;
grant execute on function loci_private.chunking_of(uuid) to loci_worker;
