create or replace function loci_private.answer_scale(scopes uuid [], out floor double precision, out sure double precision)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Similarities of one model say nothing of another's.
    select
        coalesce(loci.setting('answer_floor')::float8, case when m.measured then 0.8 else 0 end),
        coalesce(loci.setting('answer_sure')::float8, case when m.measured then 0.92 else 1 end)
    into answer_scale.floor, answer_scale.sure
    from (
        select coalesce(bool_and(e.provider = 'local'), false) as measured
        from loci.embedding_models as e
        where e.model_id = any(loci_private.models_of(answer_scale.scopes))
    ) as m;
end $$;
comment on function loci_private.answer_scale(uuid []) is
'Similarities of the best passage below which a question is not answered, and from which on it surely is: the settings answer_floor and answer_sure, else what was measured for the built-in model, else the whole range.';
revoke execute on function loci_private.answer_scale(uuid []) from public;
