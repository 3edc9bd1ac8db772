create or replace function loci_private.source_exists(source text, key text)
returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case source_exists.source
        when 'memories' then exists (
            select from loci_private.memories as m
            where m.memory_id = case when source_exists.key ~ '^[1-9][0-9]{0,17}$' then source_exists.key::bigint end
        )
        when 'messages' then exists (
            select from loci.messages as m
            where m.message_id = case when source_exists.key ~ '^[1-9][0-9]{0,17}$' then source_exists.key::bigint end
        )
        when 'conversations' then exists (
            select from loci.conversations as c
            where c.conversation_id = case when source_exists.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then source_exists.key::uuid end
        )
        else exists (
            select from loci_private.sources as s
            join loci_private.source_rows as r on r.source_id = s.source_id and r.key = source_exists.key
            where s.name = source_exists.source and not r.forgotten
        )
    end
$$;
comment on function loci_private.source_exists(text, text) is
'Is there still such a row that a memory was derived from? Rows of watched tables count as long as they are indexed.';
revoke execute on function loci_private.source_exists(text, text) from public;
