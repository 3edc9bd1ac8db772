create or replace function loci.set_capacity(place text, capacity integer)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_admin boolean := pg_has_role(session_user, 'loci_admin', 'member');
    v_scope uuid;
begin
    if set_capacity.capacity is not null and set_capacity.capacity not between 0 and 100000 then
        raise exception 'a capacity of % is out of range', set_capacity.capacity
            using errcode = 'LC612', hint = 'It goes from 0 to 100000 memories; null goes back to the default.';
    end if;
    if set_capacity.place in ('organization', 'project', 'user') then
        if not v_admin then
            raise exception 'only loci_admin sets the capacity of a level'
                using errcode = 'LC613', hint = 'Pass the id of an organization that you manage, or of one of its projects.';
        end if;
        perform loci_private.lock_capacity(set_capacity.place, true);
        update loci.settings as s
        set value = set_capacity.capacity::text
        where s.name = 'memory_capacity_' || set_capacity.place;
        perform loci_private.shrink_memories(f.scope_id)
        from (
            select m.scope_id
            from loci_private.memories as m
            join loci_private.scopes as s on s.scope_id = m.scope_id
            where s.kind = set_capacity.place
            group by m.scope_id
        ) as f;
        return;
    end if;
    select s.scope_id into v_scope
    from loci_private.scopes as s
    where s.scope_id::text = lower(set_capacity.place)
        and (v_admin or s.organization_id = any(loci.managed_organizations()));
    if not found then
        raise exception 'there is no level or scope "%" whose capacity you may set', coalesce(set_capacity.place, 'null')
            using errcode = 'LC613',
            hint = 'Pass organization, project or user, or the id of an organization that you manage or of one of its projects.';
    end if;
    perform loci_private.lock_capacity(v_scope::text, true);
    if set_capacity.capacity is null then
        delete from loci_private.memory_capacities as c where c.scope_id = v_scope;
    else
        insert into loci_private.memory_capacities (scope_id, capacity) values (v_scope, set_capacity.capacity)
        on conflict on constraint memory_capacities_pkey do update set capacity = excluded.capacity;
    end if;
    perform loci_private.shrink_memories(v_scope);
end $$;
comment on function loci.set_capacity(text, integer) is
'How many memories each scope of a level may hold (place: organization, project or user), or one scope (place: its id); null goes back to the default. What is too much goes at once, the oldest first. LC612, LC613.';
revoke execute on function loci.set_capacity(text, integer) from public;
grant execute on function loci.set_capacity(text, integer) to loci_app, loci_admin;
