create or replace function loci_private.hold_sources(derived_from jsonb)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sources text[];
    v_keys text[];
    v_ids bigint[];
begin
    select array_agg(e.e ->> 'source'), array_agg(e.e ->> 'key') into v_sources, v_keys
    from jsonb_array_elements(case jsonb_typeof(hold_sources.derived_from) when 'array' then hold_sources.derived_from else '[]' end) as e (e)
    where jsonb_typeof(e.e) = 'object';
    perform from unnest(v_sources, v_keys) as k (source, key)
    join loci_private.sources as s on s.name = k.source
    join loci_private.source_rows as r on r.source_id = s.source_id and r.key = k.key
    for key share of r;
    select array_agg(k.key::bigint) into v_ids
    from unnest(v_sources, v_keys) as k (source, key) where k.source = 'memories' and k.key ~ '^[1-9][0-9]{0,17}$';
    perform from loci_private.memories as m where m.memory_id = any(v_ids) for key share;
    select array_agg(k.key::bigint) into v_ids
    from unnest(v_sources, v_keys) as k (source, key) where k.source = 'messages' and k.key ~ '^[1-9][0-9]{0,17}$';
    perform from loci.messages as m where m.message_id = any(v_ids) for key share;
    perform from loci.conversations as c
    where c.conversation_id in (
        select case when k.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then k.key::uuid end
        from unnest(v_sources, v_keys) as k (source, key) where k.source = 'conversations'
    )
    for key share;
end $$;
comment on function loci_private.hold_sources(jsonb) is
'Keep rows that something is being derived from until the end of the transaction: who erases them waits, and finds what was derived.';
revoke execute on function loci_private.hold_sources(jsonb) from public;
