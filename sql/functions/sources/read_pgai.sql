create or replace function loci_private.read_pgai(reader text)
returns table (key text, ordinal integer, stored text, content text, context text, embedding public.vector)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read boolean := false;
begin
    -- See loci_private.read_rows: what the owner's code leaves behind is undone.
    return query execute format('select * from loci_readers.%I()', read_pgai.reader);
    v_read := true;
    raise exception 'undo';
exception when raise_exception then
    if not v_read then
        raise;
    end if;
end $$;
comment on function loci_private.read_pgai(text) is
'What pgai embedded of a table, read with its owner''s rights and without side effects.';
revoke execute on function loci_private.read_pgai(text) from public;
