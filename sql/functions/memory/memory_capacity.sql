create or replace function loci_private.memory_capacity(scope_id uuid)
returns integer
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select c.capacity from loci_private.memory_capacities as c where c.scope_id = memory_capacity.scope_id),
        (select loci.setting('memory_capacity_' || s.kind)::integer from loci_private.scopes as s where s.scope_id = memory_capacity.scope_id)
    );
end $$;
comment on function loci_private.memory_capacity(uuid) is
'How many memories a scope may hold: its own number, else its level''s; null for what is no scope.';
revoke execute on function loci_private.memory_capacity(uuid) from public;
