create or replace function loci_private.claim(queue text, lease uuid, want integer, model_id integer default null)
returns setof bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_pass text;
    v_found bigint;
    v_left integer := want;
begin
    -- A claim that overlaps another locks, until it commits, also what the other gets; to skip locked that would look as
    -- if somebody had taken it away.
    perform from loci_private.queues as t where t.queue = claim.queue for update;
    perform loci_private.free_leases(claim.lease);
    if not exists (select from loci_private.leases as l where l.lease = claim.lease) then
        insert into loci_private.leases (lease, pid, backend_start)
        select claim.lease, s.pid, s.backend_start from loci_private.sessions() as s where s.pid = pg_backend_pid();
    end if;
    foreach v_pass in array case claim.queue
        -- What must disappear goes before what is to appear.
        when 'row_queue' then array['q.op in (''place'', ''truncate'', ''resync'')', 'q.op in (''upsert'', ''scan'')']
        when 'embed_queue' then array['q.model_id = $5']
        when 'completion_queue' then array['true']
    end loop
        return query execute format(
            'with picked as (
                select q.queue_id
                from loci_private.%1$I as q
                where q.available_at <= $1 and %2$s %3$s
                order by q.queue_id
                limit $2
                for update of q skip locked
            )
            update loci_private.%1$I as q
            set lease = $3, leased_at = $1, available_at = $1 + make_interval(secs => $4)
            from picked
            where q.queue_id = picked.queue_id
            returning q.queue_id',
            claim.queue, v_pass,
            case claim.queue when 'row_queue' then
                'and not exists (select from loci_private.sources as s where s.source_id = q.source_id and s.broken_since is not null)'
            end
        ) using loci_private.now(), v_left, claim.lease, loci.setting('lease_seconds')::integer, claim.model_id;
        get diagnostics v_found = row_count;
        v_left := v_left - v_found;
        exit when v_left <= 0;
    end loop;
end $$;
comment on function loci_private.claim(text, uuid, integer, integer) is
'Lease work of a queue that is due: nobody else gets it until the lease is released, its session has ended, or it runs out.';
revoke execute on function loci_private.claim(text, uuid, integer, integer) from public;
grant execute on function loci_private.claim(text, uuid, integer, integer) to loci_worker;
