create or replace function loci_private.column_template(columns text [], suffix text default '')
returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(string_agg('%1$s.' || replace(quote_ident(c.name), '%', '%%') || suffix, ', ' order by c.n), '')
    from unnest(columns) with ordinality as c (name, n)
$$;
comment on function loci_private.column_template(text [], text) is
'The columns as a template for format(): its first argument names the row they are of.';
revoke execute on function loci_private.column_template(text [], text) from public;
