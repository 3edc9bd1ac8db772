create or replace function loci_private.source_place(source text, key text)
returns table (scope_id uuid, audience uuid [])
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select m.scope_id, m.audience
    from loci_private.memories as m
    where source_place.source = 'memories' and m.memory_id = case when source_place.key ~ '^[1-9][0-9]{0,17}$' then source_place.key::bigint end
    union all
    select m.scope_id, null
    from loci.messages as m
    where source_place.source = 'messages'
        and m.message_id = case when source_place.key ~ '^[1-9][0-9]{0,17}$' then source_place.key::bigint end
    union all
    select c.user_id, null
    from loci.conversations as c
    where source_place.source = 'conversations'
        and c.conversation_id = case when source_place.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then source_place.key::uuid end
    union all
    select r.scope_id, r.audience
    from loci_private.sources as s
    join loci_private.source_rows as r on r.source_id = s.source_id and r.key = source_place.key
    where s.name = source_place.source and not s.internal and s.name not in ('messages', 'conversations')
        and r.source_id not in (select h.source_id from loci_private.hidden_sources as h)
        and r.row_id not in (select h.row_id from loci_private.hidden_rows as h)
$$;
comment on function loci_private.source_place(text, text) is
'Where a row of a source lives: its scope and audience; no row when it is not indexed, or deleted.';
revoke execute on function loci_private.source_place(text, text) from public;
