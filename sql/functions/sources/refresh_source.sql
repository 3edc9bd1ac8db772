create or replace function loci_private.refresh_source(source_id integer)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
begin
    perform loci_private.build_source_readers(refresh_source.source_id);
    perform loci_private.probe_source(refresh_source.source_id);
    perform loci_private.build_source_triggers(refresh_source.source_id);
end $$;
comment on function loci_private.refresh_source(integer) is
'Make the functions and triggers of a source again, for its table as it is now. Waits for no lock longer than a second.';
revoke execute on function loci_private.refresh_source(integer) from public;
grant execute on function loci_private.refresh_source(integer) to loci_owner;
