create or replace function loci_private.join_summary(conversation_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    update loci_private.summaries as s
    set parts = coalesce(k.parts, '[]'), summary = coalesce(k.summary, '')
    from (
        select o.conversation_id, n.parts, n.summary
        from loci_private.summaries as o
        cross join lateral (
            select jsonb_agg(p.part order by p.n) as parts, string_agg(p.part ->> 'text', E'\n\n' order by p.n) as summary
            from (
                select p.part, p.n, sum(length(p.part ->> 'text')) over (order by p.n desc) as characters,
                    row_number() over (order by p.n desc) as newness
                from jsonb_array_elements(o.parts) with ordinality as p (part, n)
            ) as p
            -- The oldest parts are remembered as memories only.
            where p.characters <= loci.setting('summary_characters')::integer or p.newness = 1
        ) as n
        where o.conversation_id = join_summary.conversation_id
    ) as k
    where s.conversation_id = k.conversation_id;
    delete from loci_private.summaries as s where s.conversation_id = join_summary.conversation_id and s.parts = '[]';
end $$;
comment on function loci_private.join_summary(uuid) is
'Put the summary of a conversation together from its newest parts; without any left there is none.';
revoke execute on function loci_private.join_summary(uuid) from public;
