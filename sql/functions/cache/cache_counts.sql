create or replace function loci_private.cache_counts()
returns table (kind text, entries bigint, bytes bigint, hits bigint, misses bigint, evictions bigint)
language plpgsql volatile parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if pg_is_in_recovery() then
        return;
    end if;
    return query
    select k.kind, coalesce(e.entries, 0), coalesce(e.bytes, 0),
        coalesce(pg_sequence_last_value(format('loci_private.cache_%s_hits', k.kind)::regclass), 0),
        coalesce(pg_sequence_last_value(format('loci_private.cache_%s_misses', k.kind)::regclass), 0),
        coalesce(pg_sequence_last_value(format('loci_private.cache_%s_evictions', k.kind)::regclass), 0)
    from unnest(array['search', 'embedding', 'context', 'similarity', 'routing', 'response']) with ordinality as k (kind, n)
    left join (
        select c.kind, count(*) as entries, sum(pg_column_size(c.*))::bigint as bytes
        from loci_private.cache as c
        group by c.kind
    ) as e on e.kind = k.kind
    order by k.n;
end $$;
comment on function loci_private.cache_counts() is 'What is in the caches, and how useful they were; nothing on a standby.';
revoke execute on function loci_private.cache_counts() from public;
grant execute on function loci_private.cache_counts() to loci_admin, loci_monitor;
