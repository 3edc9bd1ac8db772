create or replace function loci_private.follow_organization_model()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.embedding_model is not null then
        perform loci_private.assign_model((loci_private.model_named(new.embedding_model)).model_id, new.organization_id);
    elsif tg_op = 'UPDATE' and old.embedding_model is not null then
        -- Back to the default: fill it first, and follow it from then on.
        perform loci_private.assign_model((loci_private.assignment_of(null)).target_model, new.organization_id);
    end if;
    return null;
end $$;
comment on function loci_private.follow_organization_model() is 'organizations.embedding_model chooses the model of its rows.';
revoke execute on function loci_private.follow_organization_model() from public;
create or replace trigger organizations__model
after insert or update of embedding_model on loci.organizations
for each row execute function loci_private.follow_organization_model();
