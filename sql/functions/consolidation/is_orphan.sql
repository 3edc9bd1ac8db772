create or replace function loci_private.is_orphan(stated boolean, lineage jsonb)
returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select not is_orphan.stated and exists (
        select from jsonb_to_recordset(is_orphan.lineage) as l (source text, key text, consumed boolean)
        where not l.consumed and not loci_private.source_exists(l.source, l.key)
    )
$$;
comment on function loci_private.is_orphan(boolean, jsonb) is
'Was something that an evicted memory was derived from deleted since? What somebody stated stands on its own.';
revoke execute on function loci_private.is_orphan(boolean, jsonb) from public;
