create or replace function loci_private.hash_of_messages(message_ids bigint [])
returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select encode(sha256(convert_to(
        coalesce(jsonb_agg(jsonb_build_array(m.message_id, m.conversation_id, m.role, m.content, m.status) order by m.message_id), '[]')::text,
        'UTF8'
    )), 'hex')
    from loci.messages as m
    where m.message_id = any(hash_of_messages.message_ids) and m.summarized_at is null
$$;
comment on function loci_private.hash_of_messages(bigint []) is
'Of messages that are not summarised yet: it changes when one of them does, is deleted, or is summarised.';
revoke execute on function loci_private.hash_of_messages(bigint []) from public;
