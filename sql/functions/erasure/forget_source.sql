create or replace function loci.forget_source(source text, key text)
returns table (relation text, rows bigint, what text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_admin boolean := pg_has_role(session_user, 'loci_admin', 'member');
    v_user uuid := loci.current_user_id();
    v_scope uuid;
    v_owner uuid;
    v_count bigint;
    v_report jsonb;
begin
    if forget_source.source is null or forget_source.key is null
        or (
            forget_source.source <> 'conversations'
            and not exists (select from loci_private.sources as s where s.name = forget_source.source)
        )
    then
        raise exception 'there is no source "%"', coalesce(forget_source.source, 'null')
            using errcode = 'LC632', hint = 'select name from loci.sources lists them; conversations counts as one too. Pass the key as loci.search() returns it.';
    end if;
    select p.scope_id into v_scope from loci_private.source_place(forget_source.source, forget_source.key) as p;
    if not v_admin and (v_user is null or v_scope is distinct from v_user) then
        raise exception 'there is no row % in % that you may erase', forget_source.key, forget_source.source
            using errcode = 'LC633', hint = 'Users erase what is in their own scope; everything else loci_admin does.';
    end if;
    select s.scope_id into v_owner from loci_private.scopes as s where s.scope_id = v_scope and s.kind = 'user';
    -- What is just being sent to a model is not kept. Users hold up nobody but themselves.
    if v_owner is null then
        lock table loci_private.call_texts in exclusive mode;
    else
        perform from loci.users as u where u.user_id = v_owner for update;
    end if;
    select jsonb_agg(e) into v_report from loci_private.erase(array[forget_source.source], array[forget_source.key]) as e;
    -- Kept texts name no source. Only its user was shown what is in a user's scope.
    delete from loci_private.call_texts as t where v_owner is null or t.user_id = v_owner;
    get diagnostics v_count = row_count;
    v_report := v_report || jsonb_build_object('relation', 'loci.call_texts', 'rows', v_count, 'what', 'deleted: whatever was kept of those who could see the row');
    perform loci_private.note_erasure('source', forget_source.source, v_admin, v_report);
    return query select r.relation, r.rows, r.what from jsonb_to_recordset(v_report) as r (relation text, rows bigint, what text) where r.rows > 0;
end $$;
comment on function loci.forget_source(text, text) is
'Erase a row of a source and everything that Loci derived from it: chunks, vectors, memories, answers that saw it, summaries, citations, cached and queued work. Rows of documents, messages, memories and conversations go themselves; one of a watched table is not indexed again until it changes. Returns what was erased. For loci_admin, and for users in their own scope. LC632, LC633.';
revoke execute on function loci.forget_source(text, text) from public;
grant execute on function loci.forget_source(text, text) to loci_app, loci_admin;
