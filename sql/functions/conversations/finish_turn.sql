create or replace function loci.finish_turn(
    turn_id uuid,
    reply text,
    usage jsonb default '{}',
    status text default 'complete',
    tool_calls jsonb default '[]',
    out message_id bigint,
    out citations jsonb,
    out confidence real,
    out proposals jsonb
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_usage jsonb := loci_private.usage_object(finish_turn.usage);
    v_turn loci_private.turns;
begin
    if finish_turn.status is null or finish_turn.status not in ('complete', 'cancelled', 'failed') then
        raise exception 'a turn cannot end as "%"', coalesce(left(finish_turn.status, 100), 'null')
            using errcode = 'LC706', hint = 'complete; cancelled: the client went away; failed: the model did not answer.';
    end if;
    if jsonb_typeof(finish_turn.tool_calls) is distinct from 'array' then
        raise exception 'tool_calls are a JSON array' using errcode = 'LC712', hint = 'As the gateway has them: [{id, type, function}].';
    end if;
    if finish_turn.status = 'complete' and jsonb_array_length(finish_turn.tool_calls) = 0
        and (finish_turn.reply is null or finish_turn.reply !~ '\S')
    then
        raise exception 'a complete answer says something'
            using errcode = 'LC709', hint = 'Where there is none, the status is failed or cancelled.';
    end if;
    v_turn := loci_private.own_turn(finish_turn.turn_id);
    if v_turn.status = 'open' or (
        -- Late, but nobody has gone on meanwhile.
        v_turn.status = 'abandoned' and not exists (
            select from loci.messages as m
            where m.conversation_id = v_turn.conversation_id and m.message_id > v_turn.question_id
        )
    ) then
        finish_turn.message_id := loci_private.store_answer(
            v_turn, finish_turn.reply, finish_turn.status,
            case when v_usage ->> 'completion_tokens' ~ '^\d{1,9}$' then (v_usage ->> 'completion_tokens')::integer end
        );
        -- What a model has not said to the end it has not proposed.
        if finish_turn.status = 'complete' then
            perform loci_private.propose_calls(v_turn.turn_id, v_turn.conversation_id, finish_turn.tool_calls);
        end if;
        -- Last, because no rollback takes it back.
        perform loci_private.settle_turn(v_turn, finish_turn.reply, v_usage, finish_turn.status);
    elsif v_turn.status = finish_turn.status and (
        select m.content from loci.messages as m where m.message_id = v_turn.answer_id
    ) is not distinct from (case when finish_turn.reply ~ '\S' then finish_turn.reply end) then
        -- Said once more by somebody who did not hear that it was heard.
        finish_turn.message_id := v_turn.answer_id;
    else
        raise exception 'the turn is finished already'
            using errcode = 'LC708', detail = format('It is %s.', v_turn.status), hint = 'Its answer is in loci.messages.';
    end if;
    select m.confidence into finish_turn.confidence from loci.messages as m where m.message_id = finish_turn.message_id;
    select coalesce(jsonb_agg(to_jsonb(c) order by c.number), '[]') into finish_turn.citations
    from loci.citations(finish_turn.message_id) as c;
    finish_turn.proposals := loci_private.turn_proposals(v_turn.turn_id);
end $$;
comment on function loci.finish_turn(uuid, text, jsonb, text, jsonb) is
'Store the answer of a turn with the passages it cites, and enter what it used. usage: prompt_tokens, completion_tokens, cost_usd, latency_ms, as the gateway said; sqlstate of a failure. status: complete, cancelled or failed; what was produced until then is kept. tool_calls: as the gateway has them; they become proposals. The same again changes nothing. LC706 to LC709, LC711, LC712.';
revoke execute on function loci.finish_turn(uuid, text, jsonb, text, jsonb) from public;
grant execute on function loci.finish_turn(uuid, text, jsonb, text, jsonb) to loci_app, loci_admin;
