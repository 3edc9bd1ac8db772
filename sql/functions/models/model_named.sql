create or replace function loci_private.model_named(name text)
returns loci.embedding_models
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model loci.embedding_models;
begin
    select m.* into v_model from loci.embedding_models as m where m.name = model_named.name;
    if not found then
        raise exception 'there is no embedding model "%"', coalesce(model_named.name, 'null')
            using errcode = 'LC214', hint = 'select name from loci.embedding_models lists them; loci.add_embedding_model() adds one.';
    end if;
    return v_model;
end $$;
comment on function loci_private.model_named(text) is 'One model by its name, or LC214.';
revoke execute on function loci_private.model_named(text) from public;
