create or replace function loci_private.activate_complete_models()
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_assignment loci_private.model_assignments;
    v_complete boolean;
    v_count integer := 0;
begin
    for v_assignment in
        select a.* from loci_private.model_assignments as a
        where a.active_model is distinct from a.target_model
        order by a.assignment_id
        for update skip locked
    loop
        execute format(
            'select not exists (
                select from loci_private.chunks as c
                where (loci_private.assignment_of(c.organization_id)).assignment_id = $1
                    and not exists (select from loci_private.%I as e where e.chunk_id = c.chunk_id)
                    and not exists (
                        select from loci_private.failures as f where f.chunk_id = c.chunk_id and f.model_id = $2
                    )
            )', loci_private.model_table(v_assignment.target_model)
        ) into v_complete using v_assignment.assignment_id, v_assignment.target_model;
        if v_complete then
            update loci_private.model_assignments as a
            set active_model = a.target_model
            where a.assignment_id = v_assignment.assignment_id;
            -- An organization that went back to the default has no assignment of its own any more.
            delete from loci_private.model_assignments as a
            using loci.organizations as o
            where a.assignment_id = v_assignment.assignment_id
                and o.organization_id = a.organization_id and o.embedding_model is null;
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end $$;
comment on function loci_private.activate_complete_models() is
'Switch queries to every target model that has all its vectors; returns how many were switched.';
revoke execute on function loci_private.activate_complete_models() from public;
grant execute on function loci_private.activate_complete_models() to loci_worker;
