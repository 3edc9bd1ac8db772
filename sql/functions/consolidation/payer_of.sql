create or replace function loci_private.payer_of(organization_id uuid, user_id uuid)
returns uuid
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when payer_of.user_id is null or exists (
            select from loci.organization_members as m
            where m.organization_id = payer_of.organization_id and m.user_id = payer_of.user_id
        ) then payer_of.organization_id
        else loci_private.organization_of(payer_of.user_id)
    end
$$;
comment on function loci_private.payer_of(uuid, uuid) is
'Whose models and budget are used for a user''s conversation: its organization''s, or where the user has left that, the one joined first.';
revoke execute on function loci_private.payer_of(uuid, uuid) from public;
