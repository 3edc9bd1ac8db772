create or replace function loci_private.redaction_of(organization_id uuid, out marker text, out patterns jsonb)
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select
        case when count(*) = 0 then '' else encode(sha256(convert_to(jsonb_agg(p.pattern order by p.name)::text, 'UTF8')), 'hex') end,
        coalesce(jsonb_agg(p.pattern order by p.name), '[]')
    into redaction_of.marker, redaction_of.patterns
    from loci.organizations as o
    cross join lateral (
        select distinct on (r.name) r.name, r.kind, r.enabled,
            jsonb_build_object(
                'name', r.name, 'kind', r.kind, 'pattern', coalesce(r.pattern, r.default_pattern), 'checksum', r.checksum
            ) as pattern
        from loci.redaction_patterns as r
        where r.organization_id is null or r.organization_id = o.organization_id
        order by r.name, r.organization_id nulls last
    ) as p
    -- Most want nothing: their patterns are not even looked at.
    where o.organization_id = redaction_of.organization_id and o.settings -> 'redact' not in ('false', 'null')
        and p.enabled and (o.settings -> 'redact' = 'true' or o.settings -> 'redact' ? p.kind);
end $$;
comment on function loci_private.redaction_of(uuid) is
'What an organization wants redacted: the patterns, and a marker that changes with them; empty for nothing.';
revoke execute on function loci_private.redaction_of(uuid) from public;
grant execute on function loci_private.redaction_of(uuid) to loci_worker;
