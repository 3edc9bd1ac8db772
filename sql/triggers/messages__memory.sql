create or replace function loci_private.forget_messages()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_summary record;
begin
    perform loci_private.remove_memories(array_agg(distinct m.memory_id))
    from old_messages as o
    join loci_private.memory_lineage as l on l.source = 'messages' and l.key = o.message_id::text and not l.consumed
    join loci_private.memories as m on m.memory_id = l.memory_id and not m.stated
    having count(*) > 0;
    for v_summary in
        select s.conversation_id, jsonb_agg(p.part order by p.n) filter (where not p.gone) as kept,
            jsonb_agg(p.part -> 'messages') filter (where p.gone) as unsaid
        from loci_private.summaries as s
        cross join lateral (
            select e.part, e.n, not (e.part ->> 'removed')::boolean and exists (
                select from old_messages as o where e.part -> 'messages' @> to_jsonb(o.message_id)
            ) as gone
            from jsonb_array_elements(s.parts) with ordinality as e (part, n)
        ) as p
        where s.conversation_id in (select o.conversation_id from old_messages as o)
        group by s.conversation_id
        having bool_or(p.gone)
    loop
        update loci_private.summaries as s
        set parts = coalesce(v_summary.kept, '[]')
        where s.conversation_id = v_summary.conversation_id;
        perform loci_private.join_summary(v_summary.conversation_id);
        -- The others that it stood for are to be summarised again.
        update loci.messages as m
        set summarized_at = null
        where m.message_id in (
            select i.i::bigint
            from jsonb_array_elements(v_summary.unsaid) as u (u)
            cross join lateral jsonb_array_elements_text(u.u) as i (i)
        );
    end loop;
    return null;
end $$;
comment on function loci_private.forget_messages() is
'Deleted messages take along what was derived from them: memories, and their part of the summary. Those summarised together with them are summarised again.';
revoke execute on function loci_private.forget_messages() from public;
create or replace trigger messages__memory
after delete on loci.messages referencing old table as old_messages
for each statement execute function loci_private.forget_messages();
