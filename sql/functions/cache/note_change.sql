create or replace function loci_private.note_change(scopes uuid [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Only this transaction can have made such a row: nobody ever waits here.
    insert into loci_private.changes (scope_id, xid)
    select distinct s.scope_id, pg_current_xact_id()
    from unnest(coalesce(note_change.scopes, array[uuid '00000000-0000-0000-0000-000000000000'])) as s (scope_id)
    where s.scope_id is not null
    on conflict do nothing;
end $$;
comment on function loci_private.note_change(uuid []) is
'This transaction changes what searches in these scopes find; null: in any scope. Call it wherever searchable state changes without a row of source_rows.';
revoke execute on function loci_private.note_change(uuid []) from public;
