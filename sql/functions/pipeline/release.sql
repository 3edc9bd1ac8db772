create or replace function loci_private.release(lease uuid)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queue name;
    v_held bigint[];
    v_left integer;
    v_stuck integer := 0;
    v_freed integer := 0;
begin
    for v_queue in select q.queue from loci_private.queues as q loop
        execute format('select array_agg(q.queue_id) from loci_private.%I as q where q.lease = $1', v_queue)
        into v_held using release.lease;
        if v_held is not null then
            perform loci_private.put_back(v_queue, release.lease, v_held);
            -- What an application's open transaction is removing could not be put back.
            execute format(
                'select count(*) from loci_private.%I as q where q.queue_id = any($1) and q.lease = $2', v_queue
            ) into v_left using v_held, release.lease;
            v_stuck := v_stuck + v_left;
            v_freed := v_freed + cardinality(v_held) - v_left;
        end if;
    end loop;
    if v_stuck = 0 then
        delete from loci_private.leases as l where l.lease = release.lease;
    end if;
    return v_freed;
end $$;
comment on function loci_private.release(uuid) is 'End a lease: all work that is still under it goes back to its queues untouched; returns how much that was.';
revoke execute on function loci_private.release(uuid) from public;
grant execute on function loci_private.release(uuid) to loci_worker;
