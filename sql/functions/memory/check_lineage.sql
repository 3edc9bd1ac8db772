create or replace function loci_private.check_lineage(derived_from jsonb, scope_id uuid, audience uuid [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_scopes uuid[] := loci.visible_scopes();
    v_principals uuid[] := loci.current_principals();
    v_source record;
    v_place record;
begin
    if jsonb_typeof(derived_from) <> 'array' or exists (
        select from jsonb_array_elements(derived_from) as e (e)
        where jsonb_typeof(e.e) <> 'object' or jsonb_typeof(e.e -> 'source') is distinct from 'string'
            or coalesce(jsonb_typeof(e.e -> 'key'), '') not in ('string', 'number')
    ) then
        raise exception 'derived_from is not a list of rows'
            using errcode = 'LC603', hint = 'Pass [{"source": "documents", "key": "..."}], as loci.search() returns source and key.';
    end if;
    for v_source in select e.e ->> 'source' as source, e.e ->> 'key' as key from jsonb_array_elements(derived_from) as e (e) loop
        select p.scope_id, p.audience into v_place from loci_private.source_place(v_source.source, v_source.key) as p;
        -- One answer for rows that do not exist and rows out of sight.
        if not found or not loci.is_visible(v_place.scope_id, v_place.audience, v_scopes, v_principals) then
            raise exception 'there is no row % in % that you may see', v_source.key, v_source.source
                using errcode = 'LC603', hint = 'Name rows as loci.search() returns them; a new row counts once it is indexed.';
        end if;
        if not loci_private.is_within(scope_id, audience, v_place.scope_id, v_place.audience) then
            raise exception 'a memory cannot be seen by more people than what it comes from'
                using errcode = 'LC604', detail = format('It comes from row %s of %s.', v_source.key, v_source.source),
                hint = 'Remember it in the scope and audience of that row, or in your own (scope_id => null).';
        end if;
    end loop;
end $$;
comment on function loci_private.check_lineage(jsonb, uuid, uuid []) is
'Refuse sources that the current user may not see (LC603), and places that show more people what comes from them (LC604).';
revoke execute on function loci_private.check_lineage(jsonb, uuid, uuid []) from public;
