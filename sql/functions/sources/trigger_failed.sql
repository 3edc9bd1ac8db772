create or replace function loci_private.trigger_failed(source_id integer, operation text, state text, message text)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
begin
    -- A missed INSERT leaves a row to be found later; a missed UPDATE or DELETE could leave one visible that must not
    -- be, so that the whole source is hidden until the drain has compared it with its table.
    insert into loci_private.row_queue (source_id, key, op)
    values (trigger_failed.source_id, '', case when trigger_failed.operation = 'INSERT' then 'scan' else 'resync' end);
    raise warning 'Loci could not follow this statement: %', trigger_failed.message
        using errcode = trigger_failed.state, hint = 'The statement itself is unharmed; the next drain compares the table with what is indexed.';
exception when others then
    raise warning 'Loci could not follow this statement: %', trigger_failed.message
        using errcode = trigger_failed.state, hint = 'The statement itself is unharmed; select loci.reconcile(deep => true) finds what was missed.';
end $$;
comment on function loci_private.trigger_failed(integer, text, text, text) is
'Remember that a source missed changes, without harming the application''s statement.';
revoke execute on function loci_private.trigger_failed(integer, text, text, text) from public;
