create or replace function loci_private.store_memory(
    content text,
    type text,
    scope_id uuid,
    audience uuid [],
    metadata jsonb,
    expires_at timestamptz,
    derived_from jsonb,
    importance real,
    subject text,
    stated boolean,
    created_by uuid
)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := loci_private.now();
    v_hash bytea := loci_private.memory_hash(store_memory.content);
    v_expires timestamptz := coalesce(
        store_memory.expires_at,
        case store_memory.type when 'working' then v_now + make_interval(secs => loci.setting('working_memory_seconds')::integer) end
    );
    v_capacity integer;
    v_slot integer;
    v_memory bigint;
begin
    perform loci_private.lock_capacity(s.kind, false), loci_private.lock_capacity(s.scope_id::text, false)
    from loci_private.scopes as s
    where s.scope_id = store_memory.scope_id;
    v_capacity := loci_private.memory_capacity(store_memory.scope_id);
    if coalesce(v_capacity, 0) = 0 then
        raise exception 'scope % keeps no memories', store_memory.scope_id
            using errcode = 'LC610', detail = 'Its capacity is 0.', hint = 'loci.set_capacity() changes that.';
    end if;
    -- Two who remember the same at the same time: the second finds what the first has written.
    perform pg_advisory_xact_lock(hashtextextended(store_memory.scope_id::text || encode(v_hash, 'hex'), 1));
    -- Looked for first: an UPDATE that finds nothing would fire the triggers all the same.
    select m.memory_id into v_memory
    from loci_private.memories as m
    where m.scope_id = store_memory.scope_id and m.memory_type = store_memory.type and m.content_hash = v_hash
        and m.audience is not distinct from store_memory.audience and m.superseded_at is null
    for no key update;
    if found then
        update loci_private.memories as m
        set mentions = m.mentions + 1, renewed_at = v_now, importance = greatest(m.importance, store_memory.importance),
            metadata = m.metadata || store_memory.metadata, subject = coalesce(store_memory.subject, m.subject),
            stated = m.stated or store_memory.stated,
            expires_at = case when m.expires_at is null or v_expires is null then null else greatest(m.expires_at, v_expires) end
        where m.memory_id = v_memory;
    end if;
    while v_memory is null loop
        v_slot := loci_private.free_slot(store_memory.scope_id, v_capacity);
        insert into loci_private.memories (
            organization_id, scope_id, slot, audience, memory_type, subject, content, content_hash, importance, metadata,
            stated, created_by, created_at, renewed_at, expires_at
        )
        select
            loci_private.organization_of(store_memory.scope_id), store_memory.scope_id, v_slot, store_memory.audience,
            store_memory.type, store_memory.subject, store_memory.content, v_hash, store_memory.importance,
            store_memory.metadata, store_memory.stated, store_memory.created_by, v_now, v_now, v_expires
        where v_slot is not null
        -- Another writer may have taken the slot just now: then there is another.
        on conflict do nothing
        returning memory_id into v_memory;
    end loop;
    insert into loci_private.memory_lineage (memory_id, source, key)
    select v_memory, e.e ->> 'source', e.e ->> 'key'
    from jsonb_array_elements(store_memory.derived_from) as e (e)
    on conflict do nothing;
    if store_memory.subject is not null then
        update loci_private.memories as m
        set superseded_at = v_now, superseded_by = v_memory
        where m.scope_id = store_memory.scope_id and lower(m.subject) = lower(store_memory.subject)
            and m.memory_type = store_memory.type and m.audience is not distinct from store_memory.audience
            and m.superseded_at is null and m.memory_id <> v_memory;
    end if;
    return v_memory;
end $$;
comment on function loci_private.store_memory(
    text, text, uuid, uuid [], jsonb, timestamptz, jsonb, real, text, boolean, uuid
) is
'Write a memory that was checked: renew the one of the same text, else take a slot of the scope; supersede what it replaces. LC610 where nothing is kept.';
revoke execute on function loci_private.store_memory(
    text, text, uuid, uuid [], jsonb, timestamptz, jsonb, real, text, boolean, uuid
) from public;
