create or replace function loci_private.chunkings_of(source_id integer, organization_id uuid)
returns table (chunking_id integer, tokenizer text, max_tokens integer, size integer, overlap integer)
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select k.chunking_id, k.tokenizer, k.max_tokens, k.size, k.overlap
    from loci_private.assignment_of(chunkings_of.organization_id) as a
    join loci_private.chunking_assignments as c
        on c.source_id = chunkings_of.source_id and c.assignment_id = a.assignment_id
    join loci_private.chunkings as k on k.chunking_id in (c.active_chunking, c.target_chunking)
    order by k.chunking_id
$$;
comment on function loci_private.chunkings_of(integer, uuid) is
'How the rows of a source in an organization are to be split: one way, two while something is being switched.';
revoke execute on function loci_private.chunkings_of(integer, uuid) from public;
grant execute on function loci_private.chunkings_of(integer, uuid) to loci_worker;
