create or replace function loci_private.doctor_keys()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select 'error', 'keys', k.object, p.problem,
        case
            -- It asks for the key on its standard input.
            when k.reference ~ '^file:/[[:alnum:]/._-]+$' then format('install -D -m 600 -o postgres /dev/stdin %s', substr(k.reference, 6))
            else k.repoint
        end
    from (
        select 'gateway ' || g.gateway as object, g.api_key_ref as reference,
            format(
                'select loci.add_gateway(%L, %L, api_key_ref => ''file:/etc/loci/gateway.key'', max_concurrency => %s, '
                'requests_per_minute => %s, timeout_seconds => %s);',
                g.gateway, g.base_url, g.max_concurrency, g.requests_per_minute, g.timeout_seconds
            ) as repoint
        from loci_private.gateways as g
        union all
        select 'organization ' || o.name, o.api_key_ref,
            format(
                'update loci.organizations set api_key_ref = ''file:/etc/loci/organization.key'' where organization_id = %L;',
                o.organization_id
            )
        from loci.organizations as o
        union all
        select 'jwt_key_ref', loci.setting('jwt_key_ref'),
            'update loci.settings set value = ''file:/etc/loci/jwt.key'' where name = ''jwt_key_ref'';'
    ) as k
    cross join lateral (select loci_private.key_problem(k.reference) as problem) as p
    where k.reference is not null and p.problem is not null;
end $$;
comment on function loci_private.doctor_keys() is
'What loci.doctor() has to say about references to keys that lead nowhere. What is behind the others it does not say.';
revoke execute on function loci_private.doctor_keys() from public;
