create or replace function loci.drop_embedding_model(name text)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model loci.embedding_models := loci_private.model_named(drop_embedding_model.name);
begin
    if exists (
        select from loci_private.model_assignments as a
        where v_model.model_id in (a.active_model, a.target_model)
    ) or exists (select from loci.organizations as o where o.embedding_model = v_model.name) then
        raise exception 'model "%" is in use', v_model.name
            using errcode = 'LC215', hint = 'Switch to another with loci.use_embedding_model() and wait until it is complete.';
    end if;
    execute format('drop table if exists loci_private.%I', loci_private.model_table(v_model.model_id));
    delete from loci.embedding_models as m where m.model_id = v_model.model_id;
end $$;
comment on function loci.drop_embedding_model(text) is
'Drop a model that nothing uses, with its vectors. LC214 unknown model, LC215 still in use.';
revoke execute on function loci.drop_embedding_model(text) from public;
grant execute on function loci.drop_embedding_model(text) to loci_admin;
