create or replace function loci_private.confidence(relevance double precision, cited integer, offered integer, reply text)
returns real
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- How near the best passage is, above the floor under which nothing is offered; halved when no passage was used.
    select case
        when confidence.offered = 0 or confidence.relevance is null then 0
        else least(greatest(
            (confidence.relevance - f.floor) / greatest(loci.setting('answer_sure')::float8 - f.floor, 0.01), 0
        ), 1) * case when confidence.cited > 0 then 1 else 0.5 end
    end::real
    from (select loci.setting('answer_floor')::float8 as floor) as f
$$;
comment on function loci_private.confidence(double precision, integer, integer, text) is
'How far an answer can be trusted, 0 to 1: how well its passages fit the question, and whether it uses them.';
revoke execute on function loci_private.confidence(double precision, integer, integer, text) from public;
