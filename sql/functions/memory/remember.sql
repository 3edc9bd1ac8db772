create or replace function loci.remember(
    content text,
    type text default 'semantic',
    scope_id uuid default null,
    metadata jsonb default '{}',
    expires_at timestamptz default null,
    derived_from jsonb default null,
    importance double precision default 0.5,
    subject text default null,
    audience uuid [] default null
)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_user uuid := loci.current_user_id();
    v_longest integer := loci.setting('memory_max_bytes')::integer;
begin
    if v_user is null then
        raise exception 'nobody is named who remembers'
            using errcode = 'LC600', hint = 'select loci.act_as(user_id) first, in the same transaction.';
    end if;
    scope_id := coalesce(scope_id, v_user);
    if scope_id <> all(loci.visible_scopes()) then
        raise exception 'there is no scope % that you may remember in', scope_id
            using errcode = 'LC602', hint = 'select loci.visible_scopes() lists yours: organizations, projects and the user.';
    end if;
    if content is null or content !~ '\S' then
        raise exception 'there is nothing to remember' using errcode = 'LC601', hint = 'Pass the text of the memory.';
    end if;
    if octet_length(content) > v_longest then
        raise exception 'a memory of % bytes is too long', octet_length(content)
            using errcode = 'LC601',
            hint = format('Keep it below %s bytes (setting memory_max_bytes); long texts belong in loci.documents.', v_longest);
    end if;
    if type is null or type not in ('working', 'episodic', 'semantic') then
        raise exception 'there is no type of memory "%"', coalesce(type, 'null')
            using errcode = 'LC605', hint = 'working: expires soon; episodic: what happened; semantic: what is so.';
    end if;
    if importance is null or importance not between 0 and 1 then
        raise exception 'an importance of % is out of range', coalesce(importance::text, 'null')
            using errcode = 'LC606', hint = 'It goes from 0 to 1.';
    end if;
    if expires_at <= loci_private.now() then
        raise exception 'the memory expires before it is made'
            using errcode = 'LC607', detail = format('expires_at is %s.', expires_at), hint = 'Pass a time to come, or null.';
    end if;
    if jsonb_typeof(coalesce(metadata, '{}')) <> 'object' then
        raise exception 'metadata is not an object' using errcode = 'LC608', hint = 'Pass a JSON object: {"topic": "travel"}.';
    end if;
    if audience is not null then
        audience := array(select distinct a from unnest(audience) as a where a is not null order by a);
    end if;
    if cardinality(audience) = 0 then
        raise exception 'an empty audience is nobody'
            using errcode = 'LC609', hint = 'Name users or teams, or pass null for everyone who sees the scope.';
    end if;
    if derived_from is not null then
        perform loci_private.hold_sources(derived_from);
        perform loci_private.check_lineage(derived_from, scope_id, audience);
    end if;
    return loci_private.store_memory(
        content, type, scope_id, audience, coalesce(metadata, '{}'), expires_at, coalesce(derived_from, '[]'), importance::real,
        nullif(btrim(subject), ''), derived_from is null, v_user
    );
end $$;
comment on function loci.remember(text, text, uuid, jsonb, timestamptz, jsonb, double precision, text, uuid []) is
'Keep a memory for the current user, or for a scope the user sees; returns its id. The same text again renews the memory; one of the same subject supersedes it; a full scope forgets its oldest. type: working, episodic or semantic; derived_from: [{"source", "key"}]. LC600 to LC609.';
revoke execute on function loci.remember(
    text, text, uuid, jsonb, timestamptz, jsonb, double precision, text, uuid []
) from public;
grant execute on function loci.remember(
    text, text, uuid, jsonb, timestamptz, jsonb, double precision, text, uuid []
) to loci_app, loci_admin;
