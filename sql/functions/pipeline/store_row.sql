create or replace function loci_private.store_row(
    source_id integer,
    key text,
    version bigint,
    organization_id uuid,
    scope_id uuid,
    audience uuid [],
    title text,
    metadata jsonb,
    fingerprint bigint,
    chunks jsonb,
    lease uuid,
    redaction text
)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := loci_private.now();
    v_row bigint;
    v_model integer;
    v_gone bigint[];
    v_config regconfig := loci_private.text_config_of(store_row.organization_id);
begin
    -- Whoever found the row gone since, or took the lease over, took this claim away: what is in hand may be of a row
    -- that no longer exists.
    perform from loci_private.row_queue as q
    where q.queue_id = store_row.version and q.lease = store_row.lease
    for update skip locked;
    if not found then
        return false;
    end if;
    insert into loci_private.source_rows as r (
        source_id, key, version, placed_version, organization_id, scope_id, audience, title, metadata, fingerprint, redaction,
        updated_at
    ) values (
        store_row.source_id, store_row.key, store_row.version, store_row.version, store_row.organization_id,
        store_row.scope_id, store_row.audience, store_row.title, store_row.metadata, store_row.fingerprint,
        store_row.redaction, v_now
    )
    on conflict on constraint source_rows_source_id_key_key do update set
    version = excluded.version, placed_version = excluded.placed_version, organization_id = excluded.organization_id,
    scope_id = excluded.scope_id, audience = excluded.audience, title = excluded.title, metadata = excluded.metadata,
    fingerprint = excluded.fingerprint, redaction = excluded.redaction, updated_at = excluded.updated_at
    -- Whoever read the row later has written already, or it was moved since: what is in hand may be old.
    where r.version < excluded.version and r.placed_version <= excluded.version
    returning r.row_id into v_row;
    if v_row is null then
        insert into loci_private.row_queue (source_id, key, op)
        select r.source_id, r.key, 'upsert'
        from loci_private.source_rows as r
        where r.source_id = store_row.source_id and r.key = store_row.key and r.version < store_row.version;
        return false;
    end if;
    -- Older changes of the row are in what was read, also those that failed before or that a slower drain still holds.
    delete from loci_private.row_queue as q
    where q.queue_id in (
        select w.queue_id
        from loci_private.row_queue as w
        where w.source_id = store_row.source_id and w.key = store_row.key and w.queue_id < store_row.version
            and w.op in ('upsert', 'place')
        for update of w skip locked
    );

    -- Chunks whose text is still there, as the model sees it, keep their vectors; the rest goes, what is new comes.
    with new as (
        select n.*, row_number() over (partition by n.text_hash order by n.ordinal) as twin
        from (
            select c.ordinality::integer - 1 as ordinal, c.context, c.content, c.redacted, c.token_count,
                coalesce(c.metadata, '{}') as metadata,
                sha256(convert_to(coalesce(c.redacted, concat_ws(E'\n\n', c.context, c.content)), 'UTF8')) as text_hash
            from rows from (
                jsonb_to_recordset(store_row.chunks) as (
                    context text, content text, redacted text, token_count integer, metadata jsonb
                )
            ) with ordinality as c (context, content, redacted, token_count, metadata, ordinality)
        ) as n
    ), old as (
        select c.chunk_id, c.text_hash, row_number() over (partition by c.text_hash order by c.ordinal) as twin
        from loci_private.chunks as c
        where c.row_id = v_row
    ), kept as (
        update loci_private.chunks as c
        set ordinal = n.ordinal, metadata = n.metadata, context = n.context, content = n.content, redacted = n.redacted,
            token_count = n.token_count,
            lexemes = case
                when (c.context, c.content) is not distinct from (n.context, n.content) then c.lexemes
                else loci_private.lexemes_of(v_config, n.context, n.content)
            end,
            organization_id = store_row.organization_id,
            scope_id = store_row.scope_id, audience = store_row.audience, updated_at = v_now
        from new as n
        join old as o on o.text_hash = n.text_hash and o.twin = n.twin
        where c.chunk_id = o.chunk_id
            and (c.ordinal, c.metadata, c.context, c.content, c.redacted, c.organization_id, c.scope_id, c.audience)
            is distinct from (n.ordinal, n.metadata, n.context, n.content, n.redacted, store_row.organization_id, store_row.scope_id, store_row.audience)
    ), added as (
        insert into loci_private.chunks (
            row_id, source_id, organization_id, scope_id, audience, ordinal, context, content, redacted, text_hash,
            token_count, metadata, lexemes, created_at, updated_at
        )
        select v_row, store_row.source_id, store_row.organization_id, store_row.scope_id, store_row.audience, n.ordinal,
            n.context, n.content, n.redacted, n.text_hash, n.token_count, n.metadata,
            loci_private.lexemes_of(v_config, n.context, n.content), v_now, v_now
        from new as n
        where not exists (select from old as o where o.text_hash = n.text_hash and o.twin = n.twin)
        order by n.ordinal
    )
    select array_agg(o.chunk_id) into v_gone
    from old as o
    where not exists (select from new as n where n.text_hash = o.text_hash and n.twin = o.twin);

    if v_gone is not null then
        perform from loci_private.chunks as c where c.chunk_id = any(v_gone) order by c.chunk_id for update;
        delete from loci_private.embed_queue as q where q.chunk_id = any(v_gone);
        delete from loci_private.failures as f where f.chunk_id = any(v_gone);
        delete from loci_private.chunks as c where c.chunk_id = any(v_gone);
    end if;
    for v_model in select m.model_id from loci.embedding_models as m loop
        execute format('delete from loci_private.%I as e where e.chunk_id = any($1)', loci_private.model_table(v_model))
        using v_gone;
        execute format(
            'update loci_private.%I as e
            set scope_id = r.scope_id, audience = r.audience, organization_id = r.organization_id
            from loci_private.source_rows as r
            where e.row_id = $1 and r.row_id = $1
                and (e.scope_id, e.audience, e.organization_id) is distinct from (r.scope_id, r.audience, r.organization_id)',
            loci_private.model_table(v_model)
        ) using v_row;
    end loop;
    for v_model in
        select distinct m.model_id
        from loci_private.assignment_of(store_row.organization_id) as a
        cross join unnest(array[a.active_model, a.target_model]) as m (model_id)
        where m.model_id is not null
    loop
        execute format(
            'insert into loci_private.embed_queue (model_id, chunk_id)
            select $1, c.chunk_id
            from loci_private.chunks as c
            where c.row_id = $2
                and not exists (select from loci_private.%I as e where e.chunk_id = c.chunk_id)
                and not exists (select from loci_private.failures as f where f.chunk_id = c.chunk_id and f.model_id = $1)
            order by c.ordinal
            on conflict do nothing', loci_private.model_table(v_model)
        ) using v_model, v_row;
    end loop;
    if store_row.scope_id is not null and store_row.audience is null then
        insert into loci_private.text_changes (scope_id, chunks) values (store_row.scope_id, jsonb_array_length(store_row.chunks));
    end if;
    -- What is to be redacted has changed while the text was being split.
    if store_row.redaction <> (loci_private.redaction_of(store_row.organization_id)).marker then
        insert into loci_private.row_queue (source_id, key, op) values (store_row.source_id, store_row.key, 'upsert');
    end if;
    delete from loci_private.failures as f
    where f.stage = 'split' and f.source_id = store_row.source_id and f.key = store_row.key;
    return true;
end $$;
comment on function loci_private.store_row(
    integer, text, bigint, uuid, uuid, uuid [], text, jsonb, bigint, jsonb, uuid, text
) is
'Bring the chunks of one row in line with what was read of it, keep what is unchanged, queue what needs a vector. False when that came too late; a row whose text is not stored yet is queued again.';
revoke execute on function loci_private.store_row(
    integer, text, bigint, uuid, uuid, uuid [], text, jsonb, bigint, jsonb, uuid, text
) from public;
grant execute on function loci_private.store_row(
    integer, text, bigint, uuid, uuid, uuid [], text, jsonb, bigint, jsonb, uuid, text
) to loci_worker;
