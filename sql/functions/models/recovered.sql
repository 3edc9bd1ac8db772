create or replace function loci_private.recovered(model_id integer)
returns boolean
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from loci_private.model_health as h where h.model_id = recovered.model_id returning h.outages
    )
    select coalesce(bool_or(g.outages > 0), false) from gone as g
$$;
comment on function loci_private.recovered(integer) is 'A model''s gateway works. True if it did not before.';
revoke execute on function loci_private.recovered(integer) from public;
grant execute on function loci_private.recovered(integer) to loci_worker;
