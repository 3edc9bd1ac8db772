create or replace function loci_private.free_leases(own uuid default null)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lease uuid;
begin
    -- A lease that is seen here was taken before its holder is looked for: who is not found has ended. The pid may be
    -- somebody else's by now, and in a restored or promoted copy the lease was taken on another server.
    for v_lease in
        select l.lease
        from loci_private.leases as l
        where l.lease is distinct from free_leases.own
            and (l.pid, l.backend_start) not in (select s.pid, s.backend_start from loci_private.sessions() as s)
        for update of l skip locked
    loop
        perform loci_private.release(v_lease);
    end loop;
end $$;
comment on function loci_private.free_leases(uuid) is
'End the leases of sessions that are gone. own: the lease of this session, which needs no look.';
revoke execute on function loci_private.free_leases(uuid) from public;
