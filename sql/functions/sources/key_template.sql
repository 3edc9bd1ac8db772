create or replace function loci_private.key_template(relation regclass, columns text [])
returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when cardinality(columns) = 1 then min(c.part)
        else 'pg_catalog.jsonb_build_array(' || string_agg(c.part, ', ' order by c.n) || ')::text'
    end
    from (
        select k.n,
            case
                -- A cast of a type that somebody made runs their code. An output function does not: superusers make those.
                when a.atttypid >= 16384 then format('pg_catalog.format(''%%%%s'', %s)', v.name)
                when cardinality(columns) = 1 then v.name || '::text'
                else v.name
            end as part
        from unnest(columns) with ordinality as k (name, n)
        join pg_attribute as a on a.attrelid = key_template.relation and a.attname = k.name
        cross join lateral (select loci_private.column_template(array[k.name]) as name) as v
    ) as c
$$;
comment on function loci_private.key_template(regclass, text []) is
'The key of a row as text, as a template for format(): its first argument names the row.';
revoke execute on function loci_private.key_template(regclass, text []) from public;
