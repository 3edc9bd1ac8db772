create or replace function loci_private.cache_access()
returns text
language sql volatile parallel restricted
as $$
    -- A standby cannot even read unlogged tables. In a snapshot that lasts, another's entry could fail the transaction.
    select case
        when pg_catalog.pg_is_in_recovery() or pg_catalog.current_setting('transaction_isolation') <> 'read committed' then 'none'
        when pg_catalog.current_setting('transaction_read_only') = 'on' then 'read'
        else 'write'
    end
$$;
comment on function loci_private.cache_access() is
'What this transaction may do with the caches: none, read or write. Everything works with none.';
revoke execute on function loci_private.cache_access() from public;
