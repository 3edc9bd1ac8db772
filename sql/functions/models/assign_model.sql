create or replace function loci_private.assign_model(model_id integer, organization_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_assignment integer;
begin
    insert into loci_private.model_assignments as a (organization_id, active_model, target_model)
    values (
        organization_id,
        -- Until the new model is complete, queries go on with what served this organization so far.
        (loci_private.assignment_of(organization_id)).active_model,
        model_id
    )
    on conflict on constraint model_assignments_organization_id_key do update
    set target_model = excluded.target_model, assigned_at = now()
    returning a.assignment_id into v_assignment;
    -- Drains that are just storing rows for the models as they were are waited for.
    perform from loci_private.chunking_assignments as c where c.assignment_id = v_assignment order by c.source_id for update;
    perform loci_private.plan_chunkings();
    update loci_private.chunking_assignments as c
    set fed_version = loci_private.newest_version()
    where c.assignment_id = v_assignment;
    perform loci_private.enqueue_missing(model_id);
    perform loci_private.activate_complete();
end $$;
comment on function loci_private.assign_model(integer, uuid) is
'Make a model the target of an organization (null: of those that chose none), have rows cut for it where they are not, and queue what it lacks.';
revoke execute on function loci_private.assign_model(integer, uuid) from public;
