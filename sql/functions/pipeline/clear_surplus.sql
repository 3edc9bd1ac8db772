create or replace function loci_private.clear_surplus(most integer default 1000)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_switch loci_private.chunking_assignments;
    v_default integer := (loci_private.assignment_of(null)).assignment_id;
    v_gone bigint[];
begin
    for v_switch in
        select c.* from loci_private.chunking_assignments as c
        where c.surplus
        order by c.source_id, c.assignment_id
        for no key update skip locked
    loop
        select array_agg(n.chunk_id) into v_gone
        from (
            select c.chunk_id
            from loci_private.chunkings as k
            join loci_private.chunks as c on c.chunking_id = k.chunking_id
            left join loci_private.model_assignments as o on o.organization_id = c.organization_id
            where k.source_id = v_switch.source_id
                and k.chunking_id not in (v_switch.active_chunking, v_switch.target_chunking)
                and k.chunking_id is distinct from v_switch.adopted_chunking
                and coalesce(o.assignment_id, v_default) = v_switch.assignment_id
                -- Never the last that there is of a row.
                and exists (
                    select from loci_private.chunks as u
                    where u.row_id = c.row_id and u.chunking_id in (v_switch.active_chunking, v_switch.adopted_chunking)
                )
            limit clear_surplus.most
            for update of c skip locked
        ) as n;
        if v_gone is not null then
            perform loci_private.remove_chunks(v_gone);
            return cardinality(v_gone);
        end if;
        update loci_private.chunking_assignments as s
        set surplus = false
        where s.source_id = v_switch.source_id and s.assignment_id = v_switch.assignment_id
            and s.active_chunking = s.target_chunking
            and not exists (
                select from loci_private.chunkings as k
                join loci_private.chunks as c on c.chunking_id = k.chunking_id
                left join loci_private.model_assignments as o on o.organization_id = c.organization_id
                where k.source_id = s.source_id and k.chunking_id <> s.active_chunking
                    and k.chunking_id is distinct from s.adopted_chunking
                    and coalesce(o.assignment_id, v_default) = s.assignment_id
            );
    end loop;
    return 0;
end $$;
comment on function loci_private.clear_surplus(integer) is
'Remove chunks that are no longer in use, at most so many, with their vectors; returns how many.';
revoke execute on function loci_private.clear_surplus(integer) from public;
grant execute on function loci_private.clear_surplus(integer) to loci_worker;
