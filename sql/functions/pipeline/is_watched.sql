create or replace function loci_private.is_watched(source_id integer)
returns boolean
language sql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from loci_private.sources as s where s.source_id = is_watched.source_id and s.watched)
$$;
comment on function loci_private.is_watched(integer) is 'Whether the rows of a source can be read: not when it is not watched any more.';
revoke execute on function loci_private.is_watched(integer) from public;
grant execute on function loci_private.is_watched(integer) to loci_worker;
