create or replace function loci.finish_turn(
    turn_id uuid,
    reply text,
    usage jsonb default '{}',
    status text default 'complete',
    out message_id bigint,
    out citations jsonb,
    out confidence real,
    out proposals jsonb
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_turn loci_private.turns;
    v_message bigint;
    v_cited integer[];
begin
    if finish_turn.status is null or finish_turn.status not in ('complete', 'cancelled', 'failed') then
        raise exception 'a turn cannot end as "%"', coalesce(finish_turn.status, 'null')
            using errcode = 'LC706', hint = 'complete; cancelled: the client went away; failed: the model did not answer.';
    end if;
    select t.* into v_turn
    from loci_private.turns as t
    where t.turn_id = finish_turn.turn_id and t.user_id = loci.current_user_id()
    for update;
    if not found then
        raise exception 'there is no turn % of yours', finish_turn.turn_id
            using errcode = 'LC707', hint = 'loci.begin_turn() returns turn_id.';
    end if;
    if v_turn.status not in ('open', 'abandoned') then
        raise exception 'the turn is finished already'
            using errcode = 'LC708', detail = format('It is %s.', v_turn.status), hint = 'Its answer is in loci.messages.';
    end if;
    if finish_turn.reply ~ '\S' then
        insert into loci.messages (conversation_id, role, content, status, token_count, confidence)
        values (
            v_turn.conversation_id, 'assistant', finish_turn.reply,
            case finish_turn.status when 'complete' then 'complete' else 'partial' end,
            (finish_turn.usage ->> 'completion_tokens')::integer, null
        )
        returning messages.message_id into v_message;
        -- Numbers that stand for no passage cite nothing.
        select array_agg(distinct n.n) into v_cited
        from regexp_matches(finish_turn.reply, '\[([0-9]{1,3})\]', 'g') as m (m)
        cross join lateral (select m.m[1]::integer as n) as n
        where n.n between 1 and jsonb_array_length(v_turn.passages);
        insert into loci_private.citations (message_id, number, source, key, chunk_id, title)
        select v_message, p.number, p.source, p.key, p.chunk_id, p.title
        from jsonb_to_recordset(v_turn.passages) as p (number integer, source text, key text, chunk_id bigint, title text)
        where p.number = any(v_cited);
        confidence := loci_private.confidence(
            v_turn.relevance, coalesce(cardinality(v_cited), 0), jsonb_array_length(v_turn.passages), finish_turn.reply
        );
        update loci.messages as m set confidence = finish_turn.confidence where m.message_id = v_message;
    end if;
    update loci_private.turns as t
    set status = finish_turn.status, answer_id = v_message, finished_at = loci_private.now()
    where t.turn_id = finish_turn.turn_id;
    message_id := v_message;
    select coalesce(jsonb_agg(to_jsonb(c) order by c.number), '[]') into citations
    from loci.citations(v_message) as c;
    proposals := '[]';
end $$;
comment on function loci.finish_turn(uuid, text, jsonb, text) is
'Store the answer of a turn with the passages it cites. status: complete, cancelled or failed; what was produced until then is kept. LC706 to LC708.';
revoke execute on function loci.finish_turn(uuid, text, jsonb, text) from public;
grant execute on function loci.finish_turn(uuid, text, jsonb, text) to loci_app, loci_admin;
