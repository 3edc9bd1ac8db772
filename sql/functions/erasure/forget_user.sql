create or replace function loci.forget_user(user_id uuid, shared boolean default false)
returns table (relation text, rows bigint, what text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_user constant uuid := forget_user.user_id;
    v_admin boolean := pg_has_role(session_user, 'loci_admin', 'member');
    v_role text;
    v_sources text[];
    v_keys text[];
    v_count bigint;
    v_report jsonb := '[]'::jsonb;
    v_others jsonb;
begin
    if v_user is null or not (v_admin or v_user is not distinct from loci.current_user_id()) then
        raise exception 'you may forget nobody but yourself'
            using errcode = 'LC634', hint = 'select loci.act_as(user_id) first, or let a member of loci_admin do it.';
    end if;
    insert into loci_private.forgotten (user_hash, forgotten_at) values (sha256(uuid_send(v_user)), loci_private.now())
    on conflict do nothing;
    -- From here nothing more is put into the user's scope: not by the user, and not by a drain that has read it before.
    select u.db_role into v_role from loci.users as u where u.user_id = v_user for update;
    perform from loci_private.scopes as s where s.scope_id = v_user for update;

    select array_agg(o.source), array_agg(o.key) into v_sources, v_keys
    from (
        select 'documents' as source, d.document_id::text as key
        from loci.documents as d
        where d.scope_id = v_user or (forget_user.shared and d.created_by = v_user)
        union
        select 'conversations', c.conversation_id::text from loci.conversations as c where c.user_id = v_user
        union
        select 'memories', m.memory_id::text
        from loci_private.memories as m
        where m.scope_id = v_user or (forget_user.shared and m.created_by = v_user)
        union
        select 'memories', e.memory_id::text
        from loci_private.evicted_memories as e
        where e.scope_id = v_user or (forget_user.shared and e.created_by = v_user)
        union
        select s.name, r.key
        from loci_private.source_rows as r
        join loci_private.sources as s on s.source_id = r.source_id
        where r.scope_id = v_user
    ) as o;
    select jsonb_agg(e) into v_report
    from loci_private.erase(coalesce(v_sources, '{}'), coalesce(v_keys, '{}')) as e;

    -- Shared rows belong to their organizations: they lose the name.
    select jsonb_agg(jsonb_build_object('relation', k.relation, 'rows', k.n, 'what',
        'kept without the user''s name, in scopes of organizations; shared => true erases them'))
    into v_others
    from (
        select 'loci.documents' as relation, count(*) as n from loci.documents as d where d.created_by = v_user
        union all
        select 'loci_private.memories', count(*) from loci_private.memories as m where m.created_by = v_user
    ) as k;
    v_report := v_report || v_others;

    update loci_private.calls as c set user_id = null where c.user_id = v_user;
    get diagnostics v_count = row_count;
    v_count := v_count + loci_private.meter_forget(v_user);
    v_report := v_report || jsonb_build_object('relation', 'loci.calls', 'rows', v_count, 'what', 'kept without the user''s id');
    select count(*) into v_count from loci_private.call_texts as t where t.user_id = v_user;
    if forget_user.shared then
        -- Others may have been shown what the user wrote for them.
        select count(*) into v_count from loci_private.call_texts as t;
        delete from loci_private.call_texts;
    end if;
    v_report := v_report || jsonb_build_object('relation', 'loci.call_texts', 'rows', v_count, 'what', 'deleted');
    select count(*) into v_count from loci_private.requests as r where r.user_id = v_user;
    v_report := v_report || jsonb_build_object('relation', 'loci_private.requests', 'rows', v_count, 'what', 'deleted, with queue entries, results and failures');
    v_count := loci_private.erase_errors(v_user);
    v_report := v_report || jsonb_build_object('relation', 'loci.failures', 'rows', v_count, 'what', 'kept without their messages');

    -- Memberships, requests, kept texts and the scope go with the user.
    delete from loci.users as u where u.user_id = v_user;
    get diagnostics v_count = row_count;
    v_report := v_report || jsonb_build_object('relation', 'loci.users', 'rows', v_count, 'what', 'deleted, with memberships');
    if v_role is not null then
        v_report := v_report || jsonb_build_object('relation', 'pg_authid', 'rows', 1, 'what', 'not Loci''s to drop: the database role that was this user');
    end if;
    delete from loci_private.text_changes as t where t.scope_id = v_user;
    delete from loci_private.changes as c where c.scope_id = v_user;
    perform loci_private.note_erasure('user', null, v_admin, v_report);
    return query select r.relation, r.rows, r.what from jsonb_to_recordset(v_report) as r (relation text, rows bigint, what text) where r.rows > 0;
end $$;
comment on function loci.forget_user(uuid, boolean) is
'Erase a user: conversations, memories, documents and everything else in the user''s scope, with all that was derived from it, and the user. The ledger keeps its figures without the id. shared: what the user wrote in scopes of organizations too; else that is kept without the name. Returns what was erased, and what is left for others to erase. For the user and loci_admin. LC634.';
revoke execute on function loci.forget_user(uuid, boolean) from public;
grant execute on function loci.forget_user(uuid, boolean) to loci_app, loci_admin;
