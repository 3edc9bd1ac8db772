create or replace function loci_private.release(lease uuid)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queue name;
    v_held bigint[];
    v_left boolean;
    v_over boolean := true;
begin
    -- Every queue has the columns of the lease mechanism.
    for v_queue in
        select c.relname
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attname = 'leased_at' and not a.attisdropped
        where c.relnamespace = 'loci_private'::regnamespace and c.relkind = 'r'
    loop
        execute format('select array_agg(q.queue_id) from loci_private.%I as q where q.lease = $1', v_queue)
        into v_held using release.lease;
        if v_held is not null then
            perform loci_private.put_back(v_queue, release.lease, v_held);
            -- What an application's open transaction is removing could not be put back.
            execute format(
                'select exists (select from loci_private.%I as q where q.queue_id = any($1) and q.lease = $2)', v_queue
            ) into v_left using v_held, release.lease;
            v_over := v_over and not v_left;
        end if;
    end loop;
    if v_over then
        delete from loci_private.leases as l where l.lease = release.lease;
    end if;
end $$;
comment on function loci_private.release(uuid) is 'End a lease: all work that is still under it goes back to its queues untouched.';
revoke execute on function loci_private.release(uuid) from public;
grant execute on function loci_private.release(uuid) to loci_worker;
