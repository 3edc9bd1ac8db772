create or replace function loci_private.newest_version()
returns bigint
language sql volatile parallel unsafe
as $$ select s.last_value from loci_private.row_queue_queue_id_seq as s $$;
comment on function loci_private.newest_version() is 'The newest version that a row can have: whatever changes from now on gets a newer one.';
revoke execute on function loci_private.newest_version() from public;
