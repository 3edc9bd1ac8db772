create or replace function loci_private.backoff(attempts integer)
returns interval
language sql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select make_interval(secs => least(
        loci.setting('retry_base_seconds')::float8 * power(2, least(attempts, 30) - 1),
        loci.setting('retry_max_seconds')::float8
    ) * (0.5 + random() / 2))
$$;
comment on function loci_private.backoff(integer) is
'Wait after this many attempts: doubled each time, capped, with up to half of it taken off at random.';
revoke execute on function loci_private.backoff(integer) from public;
