create or replace function loci_private.cited(reply text, passages jsonb)
returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- [1], [2][3] and [4, 5]. Numbers that stand for no passage cite nothing.
    select coalesce(jsonb_agg(p.p order by (p.p ->> 'number')::integer), '[]')
    from jsonb_array_elements(cited.passages) as p (p)
    where (p.p ->> 'number')::integer in (
        select n.n[1]::integer
        from regexp_matches(cited.reply, '\[(\s*\d{1,3}\s*(?:[,;]\s*\d{1,3}\s*)*)\]', 'g') as m (m)
        cross join lateral regexp_matches(m.m[1], '\d+', 'g') as n (n)
    )
$$;
comment on function loci_private.cited(text, jsonb) is 'Those of the passages, each with its number, that a text refers to in brackets.';
revoke execute on function loci_private.cited(text, jsonb) from public;
