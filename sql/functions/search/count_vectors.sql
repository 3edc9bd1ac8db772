create or replace function loci_private.count_vectors(
    vectors text, condition text, filter loci_private.search_filter, up_to bigint
)
returns bigint
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    execute format('select count(*) from (select from loci_private.%I as x where %s limit $2) as v', vectors, condition)
    into v_count using filter, up_to;
    return v_count;
end $$;
comment on function loci_private.count_vectors(text, text, loci_private.search_filter, bigint) is
'How many vectors of a table meet a condition (SQL text over a row x; $1 is the filter), counted no further than up_to.';
revoke execute on function loci_private.count_vectors(text, text, loci_private.search_filter, bigint) from public;
