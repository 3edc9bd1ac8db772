create or replace function loci_private.activate_complete()
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_assignment loci_private.model_assignments;
    v_sources integer[];
    v_locked integer;
    v_count integer := 0;
begin
    perform loci_private.rejoin_default();
    for v_assignment in
        select a.* from loci_private.model_assignments as a
        where a.active_model is distinct from a.target_model
            or exists (
                select from loci_private.chunking_assignments as c
                where c.assignment_id = a.assignment_id and c.active_chunking <> c.target_chunking
            )
        order by a.assignment_id
        for no key update skip locked
    loop
        -- A model comes into use for all sources at once, a chunking for its source alone.
        for v_sources in
            select u.source_ids
            from (
                select coalesce(array_agg(c.source_id order by c.source_id), '{}') as source_ids
                from loci_private.chunking_assignments as c
                where c.assignment_id = v_assignment.assignment_id
            ) as u
            where v_assignment.active_model is distinct from v_assignment.target_model
            union all
            select array[c.source_id]
            from loci_private.chunking_assignments as c
            where c.assignment_id = v_assignment.assignment_id and c.active_chunking <> c.target_chunking
                and v_assignment.active_model = v_assignment.target_model
        loop
            continue when not loci_private.is_complete(v_assignment.assignment_id, v_sources);
            -- Now for certain: nobody is storing a row meanwhile. Who is, does this at the end of its own run.
            perform from loci_private.chunking_assignments as c
            where c.assignment_id = v_assignment.assignment_id and c.source_id = any(v_sources)
            order by c.source_id
            for update skip locked;
            get diagnostics v_locked = row_count;
            continue when v_locked < cardinality(v_sources)
                or not loci_private.is_complete(v_assignment.assignment_id, v_sources);
            update loci_private.chunking_assignments as c
            set active_chunking = c.target_chunking,
                adopted_chunking = (
                    select u.chunking_id from loci_private.chunking_uses as u
                    where u.source_id = c.source_id and u.assignment_id = c.assignment_id
                        and u.chunking_id = c.adopted_chunking and u.coming
                ),
                -- Nothing is left over where nothing was.
                surplus = c.surplus and exists (select from loci_private.source_rows as r where r.source_id = c.source_id)
            where c.assignment_id = v_assignment.assignment_id and c.source_id = any(v_sources)
                and c.active_chunking <> c.target_chunking;
            update loci_private.model_assignments as a
            set active_model = a.target_model
            where a.assignment_id = v_assignment.assignment_id;
            v_count := v_count + 1;
        end loop;
    end loop;
    return v_count;
end $$;
comment on function loci_private.activate_complete() is
'Switch queries to every target model and chunking that is complete, each in one step; returns how many were switched.';
revoke execute on function loci_private.activate_complete() from public;
grant execute on function loci_private.activate_complete() to loci_worker;
