create or replace function loci_private.cache_trim(kind text, size integer)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_excess bigint;
begin
    select count(*) - cache_trim.size into v_excess from loci_private.cache as c where c.kind = cache_trim.kind;
    if v_excess <= 0 then
        return 0;
    end if;
    delete from loci_private.cache as c
    where c.ctid = any(array(
        select o.ctid
        from loci_private.cache as o
        where o.kind = cache_trim.kind
        order by o.used_at
        limit v_excess
        for update skip locked
    ));
    get diagnostics v_excess = row_count;
    perform loci_private.log_event('eviction', jsonb_build_object('of', 'cache', 'kind', cache_trim.kind, 'count', v_excess));
    perform nextval(format('loci_private.cache_%s_evictions', cache_trim.kind)::regclass) from generate_series(1, v_excess);
    return v_excess;
end $$;
comment on function loci_private.cache_trim(text, integer) is
'Leave no more than so many entries of a kind: those used last. Entries that somebody holds are passed over.';
revoke execute on function loci_private.cache_trim(text, integer) from public;
