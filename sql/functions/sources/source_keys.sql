create or replace function loci_private.source_keys(source_id integer)
returns setof text
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read boolean := false;
begin
    -- See loci_private.read_rows: what the owner's code leaves behind is undone.
    return query execute format('select k.key from loci_readers.%I() as k (key)', format('source_%s_keys', source_keys.source_id));
    v_read := true;
    raise exception 'undo';
exception when raise_exception then
    if not v_read then
        raise;
    end if;
end $$;
comment on function loci_private.source_keys(integer) is
'Keys of all rows of a watched table, read with its owner''s rights and without side effects.';
revoke execute on function loci_private.source_keys(integer) from public;
