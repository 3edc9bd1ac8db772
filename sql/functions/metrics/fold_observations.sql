create or replace function loci_private.fold_observations()
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_taken loci_private.observations[];
begin
    -- One at a time, and nobody waits: whoever comes second finds it done.
    if loci_private.cache_access() <> 'write' or not pg_try_advisory_xact_lock(hashtext('loci observations'), 0) then
        return 0;
    end if;
    with taken as (
        delete from loci_private.observations as o
        where o.ctid = any(array(select p.ctid from loci_private.observations as p limit 50000))
        returning o.*
    )
    select array_agg(t::loci_private.observations) into v_taken from taken as t;
    if v_taken is null then
        return 0;
    end if;
    perform loci_private.count_observations(v_taken);
    insert into loci_private.counted_observations as c (up_to)
    select max(t.observation_id) from unnest(v_taken) as t
    on conflict (only_row) do update set up_to = greatest(c.up_to, excluded.up_to);
    return cardinality(v_taken);
end $$;
comment on function loci_private.fold_observations() is
'Count what was observed: up to 50,000 observations become series; returns how many. Nothing where another does, or nothing may be written.';
revoke execute on function loci_private.fold_observations() from public;
grant execute on function loci_private.fold_observations() to loci_worker;
