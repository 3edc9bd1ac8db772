create or replace function loci.use_embedding_model(name text, organization_id uuid default null)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model loci.embedding_models := loci_private.model_named(use_embedding_model.name);
begin
    if use_embedding_model.organization_id is null then
        perform loci_private.assign_model(v_model.model_id, null);
        return;
    end if;
    update loci.organizations as o
    set embedding_model = v_model.name
    where o.organization_id = use_embedding_model.organization_id;
    if not found then
        raise exception 'there is no organization %', use_embedding_model.organization_id
            using errcode = 'LC105', hint = 'select organization_id, name from loci.organizations lists them.';
    end if;
end $$;
comment on function loci.use_embedding_model(text, uuid) is
'Use a model for an organization, or for all that chose none. It fills in the background; queries switch when it is complete. LC214 unknown model, LC105 unknown organization.';
revoke execute on function loci.use_embedding_model(text, uuid) from public;
grant execute on function loci.use_embedding_model(text, uuid) to loci_admin;
