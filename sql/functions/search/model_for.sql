create or replace function loci_private.model_for(model text, scopes uuid [])
returns loci.embedding_models
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_models integer[];
    v_model loci.embedding_models;
    v_names text;
begin
    if model_for.model is not null then
        return loci_private.model_named(model_for.model);
    end if;
    v_models := loci_private.models_of(model_for.scopes);
    if cardinality(v_models) > 1 then
        select string_agg(format('"%s"', m.name), ', ' order by m.name) into v_names
        from loci.embedding_models as m where m.model_id = any(v_models);
        raise exception 'the rows you may see are of several models'
            using errcode = 'LC306', detail = format('They are %s.', v_names),
            hint = 'Pass model => the one that made the vector, or scopes of one organization.';
    end if;
    select m.* into v_model from loci.embedding_models as m where m.model_id = v_models[1];
    return v_model;
end $$;
comment on function loci_private.model_for(text, uuid []) is
'The model of this name (LC214), or the one that the rows of these scopes have; null when they have none, LC306 when several.';
revoke execute on function loci_private.model_for(text, uuid []) from public;
