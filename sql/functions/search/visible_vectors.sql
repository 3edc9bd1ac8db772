create or replace function loci_private.visible_vectors(
    model_id integer, scopes uuid [], principals uuid [], up_to integer
)
returns integer
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    execute format(
        'select count(*) from (
            select from loci_private.%I as e where loci.is_visible(e.scope_id, e.audience, $1, $2) limit $3
        ) as v', loci_private.model_table(visible_vectors.model_id)
    ) into v_count using visible_vectors.scopes, visible_vectors.principals, visible_vectors.up_to;
    return v_count;
end $$;
comment on function loci_private.visible_vectors(integer, uuid [], uuid [], integer) is
'How many vectors of a model are visible, counted no further than up_to.';
revoke execute on function loci_private.visible_vectors(integer, uuid [], uuid [], integer) from public;
