create or replace function loci_private.organizations_of(scopes uuid [])
returns uuid []
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select distinct case s.kind
            when 'user' then loci_private.organization_of(s.scope_id) else s.organization_id
        end as organization_id
        from loci_private.scopes as s
        where s.scope_id = any(organizations_of.scopes)
    );
end $$;
comment on function loci_private.organizations_of(uuid []) is
'Organizations whose settings apply to these scopes, as organization_of() says; null among them for users of none.';
revoke execute on function loci_private.organizations_of(uuid []) from public;
