create or replace function loci_private.check_k(k integer)
returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if check_k.k is null or check_k.k not between 1 and 1000 then
        raise exception 'k is %, out of range', coalesce(check_k.k::text, 'null')
            using errcode = 'LC302', hint = 'Ask for 1 to 1000 rows.';
    end if;
end $$;
comment on function loci_private.check_k(integer) is 'LC302 unless this many rows can be asked for.';
revoke execute on function loci_private.check_k(integer) from public;
