create or replace function loci_private.raise_error(error jsonb)
returns void
language plpgsql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%', error ->> 'message'
        using errcode = error ->> 'sqlstate', detail = coalesce(error ->> 'detail', ''), hint = coalesce(error ->> 'hint', '');
end $$;
comment on function loci_private.raise_error(jsonb) is
'Raise what a Python function found, as SQL does: without a traceback. error: sqlstate, message, detail, hint.';
revoke execute on function loci_private.raise_error(jsonb) from public;
