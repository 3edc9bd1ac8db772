create or replace function loci.ask(
    question text,
    options jsonb default '{}',
    organization_id uuid default null,
    raise_error boolean default true,
    out reply text,
    out citations jsonb,
    out confidence real,
    out proposals jsonb,
    out usage jsonb,
    out error jsonb
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_organization uuid := loci_private.chat_organization(ask.organization_id);
    v_options jsonb := loci_private.turn_options(ask.options);
    v_context jsonb;
    v_result jsonb;
    v_cited jsonb;
begin
    perform loci_private.check_question(ask.question);
    v_context := loci_private.gather_context(
        null, v_organization, ask.question, loci.setting('context_tokens')::integer, v_options
    );
    v_result := loci_private.complete_for(
        v_organization, loci.current_user_id(), loci_private.turn_request(null, v_context, v_options), ask.raise_error
    );
    ask.reply := v_result ->> 'content';
    ask.usage := v_result -> 'usage'
        || jsonb_build_object('model', v_result -> 'model', 'fallback', v_result -> 'fallback', 'call_id', v_result -> 'call_id');
    ask.error := v_result -> 'error';
    v_cited := loci_private.cited(ask.reply, v_context -> 'passages');
    ask.confidence := case when ask.reply is not null then loci_private.confidence(v_context -> 'passages', v_cited) end;
    select coalesce(jsonb_agg(to_jsonb(c) order by c.number), '[]') into ask.citations
    from loci_private.visible_passages(v_cited) as c;
    ask.proposals := '[]';
end $$;
comment on function loci.ask(text, jsonb, uuid, boolean) is
'Answer one question from what the current user may see, as loci.chat() does, without a conversation; nothing is stored. LC400 to LC408, LC500 to LC519, LC703, LC704, LC710.';
revoke execute on function loci.ask(text, jsonb, uuid, boolean) from public;
grant execute on function loci.ask(text, jsonb, uuid, boolean) to loci_app, loci_admin;
