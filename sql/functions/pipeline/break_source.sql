create or replace function loci_private.break_source(source_id integer, message text)
returns void
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    update loci_private.sources as s
    set broken_since = coalesce(s.broken_since, loci_private.now()), broken_error = break_source.message
    where s.source_id = break_source.source_id
$$;
comment on function loci_private.break_source(integer, text) is
'A source cannot be read any more (its table was altered): leave its queue alone until reconcile() finds it readable again.';
revoke execute on function loci_private.break_source(integer, text) from public;
grant execute on function loci_private.break_source(integer, text) to loci_worker;
