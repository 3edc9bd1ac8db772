create or replace function loci_private.cache_limits(kind text, out keep interval, out size integer)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    select (
        select coalesce(s.value, s.default_value)::integer
        from loci.settings as s
        where s.name = 'cache_' || cache_limits.kind || '_entries'
    ), (
        select make_interval(secs => nullif(coalesce(s.value, s.default_value)::integer, 0))
        from loci.settings as s
        where s.name = 'cache_' || cache_limits.kind || '_seconds'
    ) into size, keep;
    if size = 0 or keep is null then
        size := 0;
        keep := null;
    end if;
end $$;
comment on function loci_private.cache_limits(text) is
'How long entries of a kind are kept (null: the kind is off) and how many.';
revoke execute on function loci_private.cache_limits(text) from public;
