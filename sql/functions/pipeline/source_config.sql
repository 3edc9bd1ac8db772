create or replace function loci_private.source_config(source_id integer)
returns table (name text, chunk_tokens integer, chunk_overlap integer)
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.name, s.chunk_tokens, s.chunk_overlap
    from loci_private.sources as s
    where s.source_id = source_config.source_id and s.watched
$$;
comment on function loci_private.source_config(integer) is 'How the drain splits the rows of a source; no row when it is not watched any more.';
revoke execute on function loci_private.source_config(integer) from public;
grant execute on function loci_private.source_config(integer) to loci_worker;
