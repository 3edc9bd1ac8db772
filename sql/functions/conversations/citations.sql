create or replace function loci.citations(message_id bigint)
returns table (number integer, source text, key text, chunk_id bigint, title text, content text)
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select v.*
    from loci_private.visible_passages((
        select jsonb_agg(to_jsonb(c))
        from loci_private.citations as c
        join loci.messages as m on m.message_id = c.message_id and m.scope_id = loci.current_user_id()
        where c.message_id = citations.message_id
    )) as v;
end $$;
comment on function loci.citations(bigint) is
'The rows that an answer in a conversation of the current user refers to by [number], as far as the user may still see them. content is null when the passage was changed since.';
revoke execute on function loci.citations(bigint) from public;
grant execute on function loci.citations(bigint) to loci_app, loci_admin;
