create or replace function loci_private.rejoin_default()
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_default loci_private.model_assignments := loci_private.assignment_of(null);
begin
    -- The default may have changed since they chose it.
    update loci_private.model_assignments as a
    set target_model = v_default.target_model
    from loci.organizations as o
    where o.organization_id = a.organization_id and o.embedding_model is null and a.target_model <> v_default.target_model;
    if found then
        perform loci_private.plan_chunkings();
        perform loci_private.enqueue_missing(v_default.target_model);
    end if;
    delete from loci_private.model_assignments as a
    using loci.organizations as o
    where o.organization_id = a.organization_id and o.embedding_model is null
        and (a.active_model, a.target_model) = (v_default.active_model, v_default.active_model)
        and v_default.active_model = v_default.target_model
        and not exists (
            select from loci_private.chunking_assignments as c
            left join loci_private.chunking_assignments as d
                on d.source_id = c.source_id and d.assignment_id = v_default.assignment_id
            where c.assignment_id = a.assignment_id and (
                c.surplus
                or (c.active_chunking, c.target_chunking) is distinct from (d.active_chunking, d.target_chunking)
                or c.adopted_chunking <> coalesce(d.adopted_chunking, 0)
            )
        );
end $$;
comment on function loci_private.rejoin_default() is
'An organization that went back to the default model keeps an assignment of its own until it has all that the default has.';
revoke execute on function loci_private.rejoin_default() from public;
