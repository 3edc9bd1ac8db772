create or replace function loci_private.confidence(passages jsonb, cited jsonb)
returns real
language sql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
    -- How near the best passage that was used is, between floor and sure; half of that for what was only offered.
    select case
        when confidence.passages = '[]' then 0
        when confidence.cited <> '[]' then least(greatest((c.best - s.floor) / greatest(s.sure - s.floor, 0.01), 0), 1)
        else 0.5 * least(greatest((o.best - s.floor) / greatest(s.sure - s.floor, 0.01), 0), 1)
    end::real
    from loci_private.answer_scale(loci.visible_scopes()) as s
    cross join (select max((p ->> 'similarity')::float8) as best from jsonb_array_elements(confidence.cited) as p) as c
    cross join (select max((p ->> 'similarity')::float8) as best from jsonb_array_elements(confidence.passages) as p) as o
$$;
comment on function loci_private.confidence(jsonb, jsonb) is
'How far an answer can be trusted, 0 to 1: how similar to the question what it cites is. Null where no vectors could be compared.';
revoke execute on function loci_private.confidence(jsonb, jsonb) from public;
