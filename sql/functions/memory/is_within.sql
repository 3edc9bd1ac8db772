create or replace function loci_private.is_within(
    scope_id uuid, audience uuid [], outer_scope uuid, outer_audience uuid []
)
returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        -- One user: whatever that user sees is no wider.
        when i.kind = 'user' then
            loci.is_visible(
                is_within.outer_scope, is_within.outer_audience,
                loci_private.scopes_of(is_within.scope_id), loci_private.principals_of(is_within.scope_id)
            )
        when is_within.outer_audience is not null
            and (is_within.audience is null or not is_within.audience <@ is_within.outer_audience) then false
        when is_within.scope_id = is_within.outer_scope then true
        -- Whoever sees a project is a member of its organization.
        else o.kind = 'organization' and i.organization_id = o.scope_id
    end
    from loci_private.scopes as i, loci_private.scopes as o
    where i.scope_id = is_within.scope_id and o.scope_id = is_within.outer_scope
$$;
comment on function loci_private.is_within(uuid, uuid [], uuid, uuid []) is
'Does everyone who sees the first place see the second as well?';
revoke execute on function loci_private.is_within(uuid, uuid [], uuid, uuid []) from public;
