create or replace function loci_private.hidden_sets(scopes uuid [])
returns text []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Nearly always nothing is being switched, and one look at an empty index is all that this costs.
    if not exists (select from loci_private.chunking_assignments as c where c.surplus) then
        return null;
    end if;
    return (
        select array_agg(k.chunking_id || '/' || coalesce(o.organization_id::text, ''))
        from (
            select o.organization_id from unnest(loci_private.organizations_of(hidden_sets.scopes)) as o (organization_id)
            union
            select null
        ) as o
        cross join lateral loci_private.assignment_of(o.organization_id) as a
        join loci_private.chunking_assignments as c on c.assignment_id = a.assignment_id and c.surplus
        join loci_private.chunkings as k on k.source_id = c.source_id
            and k.chunking_id <> c.active_chunking and k.chunking_id is distinct from c.adopted_chunking
    );
end $$;
comment on function loci_private.hidden_sets(uuid []) is
'Chunks that exist in these scopes and are not in use, being filled or left over: chunking/organization. Null when there are none.';
revoke execute on function loci_private.hidden_sets(uuid []) from public;
