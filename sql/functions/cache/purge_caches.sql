create or replace function loci_private.purge_caches()
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := loci_private.now();
    v_kind text;
    v_limits record;
    v_oldest timestamptz := v_now;
    v_moment loci_private.change_moments;
    v_count bigint;
begin
    foreach v_kind in array array['search', 'embedding', 'context', 'similarity', 'routing', 'response'] loop
        v_limits := loci_private.cache_limits(v_kind);
        -- The others depend on nothing that changes.
        if v_kind not in ('embedding', 'routing') then
            v_oldest := least(v_oldest, v_now - v_limits.keep);
        end if;
        delete from loci_private.cache as c
        where c.ctid = any(array(
            select o.ctid
            from loci_private.cache as o
            where o.kind = v_kind and (v_limits.keep is null or o.made_at < v_now - v_limits.keep)
            for update skip locked
        ));
        perform loci_private.cache_trim(v_kind, v_limits.size);
    end loop;

    -- Entries older than the moment that is chosen have expired. Should one turn up all the same, because its transaction
    -- took so long or the settings changed, it does not see the change in all scopes that stands for what is removed.
    -- What a restored dump brought along tells of another server's transactions.
    delete from loci_private.changes as c where c.xid >= pg_snapshot_xmax(pg_current_snapshot());
    delete from loci_private.change_moments as m where m.xid >= pg_snapshot_xmax(pg_current_snapshot());
    select m.* into v_moment from loci_private.change_moments as m where m.at < v_oldest order by m.at desc limit 1;
    if found then
        insert into loci_private.changes (scope_id, xid)
        values ('00000000-0000-0000-0000-000000000000', v_moment.xid)
        on conflict do nothing;
        delete from loci_private.changes as c where c.xid < v_moment.horizon and c.xid <> v_moment.xid;
        get diagnostics v_count = row_count;
        delete from loci_private.change_moments as m where m.at <= v_moment.at;
    end if;
    insert into loci_private.change_moments (at, xid, horizon)
    values (v_now, pg_current_xact_id(), pg_snapshot_xmin(pg_current_snapshot()));
    return coalesce(v_count, 0);
end $$;
comment on function loci_private.purge_caches() is
'Remove expired entries, and changes that no entry can be older than; returns how many changes.';
revoke execute on function loci_private.purge_caches() from public;
