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
    sets jsonb,
    lease uuid,
    redaction text
)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
-- Rows are found by index, whatever size the tables had when the session planned this.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_now timestamptz := loci_private.now();
    v_row bigint;
    v_fresh boolean;
    v_gone bigint[];
    v_config regconfig := loci_private.text_config_of(store_row.organization_id);
    v_switch loci_private.chunking_assignments;
    v_sets integer[];
    v_text boolean;
    v_kept integer;
    v_forgotten boolean;
begin
    -- A user who is being forgotten just now is not waited for (55P03: tried again); one who was has no scope any more.
    perform from loci_private.scopes as s where s.scope_id = store_row.scope_id for key share nowait;
    v_forgotten := loci_private.is_forgotten(store_row.scope_id) or exists (
        select from loci_private.source_rows as r
        where r.source_id = store_row.source_id and r.key = store_row.key and r.forgotten
            and (r.fingerprint is null or r.fingerprint = store_row.fingerprint)
    );
    if v_forgotten then
        store_row.scope_id := null;
        store_row.audience := null;
        store_row.title := null;
        store_row.metadata := '{}';
        select jsonb_agg(jsonb_build_object('chunking_id', s.chunking_id, 'chunks', '[]'::jsonb)) into store_row.sets
        from jsonb_to_recordset(store_row.sets) as s (chunking_id integer);
    end if;
    -- How the row has to be split stays as it is until it is stored. Who is changing that is not waited for (55P03).
    select c.* into v_switch
    from loci_private.assignment_of(store_row.organization_id) as a
    join loci_private.chunking_assignments as c on c.assignment_id = a.assignment_id
    where c.source_id = store_row.source_id
    for key share of c nowait;
    if not found then
        raise exception 'nobody knows how this row is to be split' using errcode = '55P03', hint = 'select loci.reconcile() finds out.';
    end if;
    select array_agg(distinct s.chunking_id), coalesce(bool_or(jsonb_array_length(s.chunks) > 0), false) into v_sets, v_text
    from jsonb_to_recordset(store_row.sets) as s (chunking_id integer, chunks jsonb);
    if v_sets is null
        or not (v_sets @> array[v_switch.active_chunking, v_switch.target_chunking])
        or not (v_sets <@ array[v_switch.active_chunking, v_switch.target_chunking])
    then
        -- It has changed since.
        insert into loci_private.row_queue (source_id, key, op) values (store_row.source_id, store_row.key, 'upsert');
        return false;
    end if;
    -- Whoever found the row gone since, or took the lease over, took this claim away: what is in hand may be of a row
    -- that no longer exists.
    perform from loci_private.row_queue as q
    where q.queue_id = store_row.version and q.lease = store_row.lease
    for update skip locked;
    if not found then
        if exists (select from loci_private.row_queue as q where q.queue_id = store_row.version and q.lease = store_row.lease) then
            raise exception 'somebody is changing this row' using errcode = '55P03', hint = 'It is tried again.';
        end if;
        return false;
    end if;
    -- Chunks that somebody else cut are kept for as long as the row is what they were cut from.
    select max(c.chunking_id) into v_kept
    from loci_private.source_rows as r
    join loci_private.chunks as c on c.row_id = r.row_id and c.chunking_id = v_switch.adopted_chunking
    where r.source_id = store_row.source_id and r.key = store_row.key
        and (r.fingerprint, r.redaction, r.organization_id)
        is not distinct from (store_row.fingerprint, store_row.redaction, store_row.organization_id);
    if v_kept is not null then
        select coalesce(array_agg(t.chunking_id), '{}') into v_sets
        from unnest(array[v_switch.target_chunking]) as t (chunking_id)
        where not exists (
            select from loci_private.chunking_uses as u
            where u.source_id = v_switch.source_id and u.assignment_id = v_switch.assignment_id
                and u.chunking_id = v_kept and u.coming
        );
    end if;
    insert into loci_private.source_rows as r (
        source_id, key, version, placed_version, organization_id, scope_id, audience, title, metadata, fingerprint, redaction,
        has_text, forgotten, updated_at
    ) values (
        store_row.source_id, store_row.key, store_row.version, store_row.version, store_row.organization_id,
        store_row.scope_id, store_row.audience, store_row.title, store_row.metadata, store_row.fingerprint,
        store_row.redaction, v_text, v_forgotten, v_now
    )
    on conflict on constraint source_rows_source_id_key_key do update set
    version = excluded.version, placed_version = excluded.placed_version, organization_id = excluded.organization_id,
    scope_id = excluded.scope_id, audience = excluded.audience, title = excluded.title, metadata = excluded.metadata,
    fingerprint = excluded.fingerprint, redaction = excluded.redaction, has_text = excluded.has_text, forgotten = excluded.forgotten,
    updated_at = excluded.updated_at
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

    -- Chunks whose text is still there, as the model sees it, keep their vectors; the rest goes, what is new comes. Those of
    -- a chunking that is not wanted any more can take the place of the ones in use.
    with new as (
        select n.*, row_number() over (partition by n.chunking_id, n.text_hash order by n.ordinal) as twin,
            count(*) over (partition by n.chunking_id) as set_size
        from (
            select s.chunking_id, c.ordinality::integer - 1 as ordinal, c.context, c.content, c.redacted, c.token_count,
                coalesce(c.metadata, '{}') as metadata,
                sha256(convert_to(coalesce(c.redacted, concat_ws(E'\n\n', c.context, c.content)), 'UTF8')) as text_hash
            from jsonb_to_recordset(store_row.sets) as s (chunking_id integer, chunks jsonb)
            cross join lateral rows from (
                jsonb_to_recordset(s.chunks) as (
                    context text, content text, redacted text, token_count integer, metadata jsonb
                )
            ) with ordinality as c (context, content, redacted, token_count, metadata, ordinality)
            where s.chunking_id = any(v_sets)
        ) as n
    ), old as (
        select o.chunk_id, o.chunking_id, o.text_hash,
            row_number() over (partition by o.chunking_id, o.text_hash order by o.is_other, o.ordinal) as twin
        from (
            select c.chunk_id, c.text_hash, c.ordinal, c.chunking_id <> all(v_sets) as is_other,
                case when c.chunking_id = any(v_sets) then c.chunking_id else v_switch.active_chunking end as chunking_id
            from loci_private.chunks as c
            where c.row_id = v_row and c.chunking_id is distinct from v_kept
        ) as o
    ), kept as (
        update loci_private.chunks as c
        set chunking_id = n.chunking_id, ordinal = n.ordinal, metadata = n.metadata, context = n.context, content = n.content,
            redacted = n.redacted, token_count = n.token_count, set_size = n.set_size,
            lexemes = case
                when (c.context, c.content) is not distinct from (n.context, n.content) then c.lexemes
                else loci_private.lexemes_of(v_config, n.context, n.content)
            end,
            organization_id = store_row.organization_id,
            scope_id = store_row.scope_id, audience = store_row.audience, updated_at = v_now
        from new as n
        join old as o on o.chunking_id = n.chunking_id and o.text_hash = n.text_hash and o.twin = n.twin
        where c.chunk_id = o.chunk_id
            and (
                c.chunking_id, c.ordinal, c.metadata, c.context, c.content, c.redacted, c.set_size, c.organization_id, c.scope_id,
                c.audience
            )
            is distinct from (
                n.chunking_id, n.ordinal, n.metadata, n.context, n.content, n.redacted, n.set_size::integer,
                store_row.organization_id, store_row.scope_id, store_row.audience
            )
    ), added as (
        insert into loci_private.chunks (
            row_id, source_id, chunking_id, organization_id, scope_id, audience, ordinal, context, content, redacted, text_hash,
            token_count, metadata, set_size, lexemes, created_at, updated_at
        )
        select v_row, store_row.source_id, n.chunking_id, store_row.organization_id, store_row.scope_id, store_row.audience,
            n.ordinal, n.context, n.content, n.redacted, n.text_hash, n.token_count, n.metadata, n.set_size,
            loci_private.lexemes_of(v_config, n.context, n.content), v_now, v_now
        from new as n
        where not exists (
            select from old as o
            where o.chunking_id = n.chunking_id and o.text_hash = n.text_hash and o.twin = n.twin
        )
        order by n.chunking_id, n.ordinal
    )
    select count(*) = 0, array_agg(o.chunk_id) filter (
        where not exists (
            select from new as n
            where n.chunking_id = o.chunking_id and n.text_hash = o.text_hash and n.twin = o.twin
        )
    )
    into v_fresh, v_gone
    from old as o;

    if v_gone is not null then
        perform loci_private.remove_chunks(v_gone);
    end if;
    if v_fresh and v_kept is null then
        -- No chunk of the row has a vector yet: most rows, and nothing has to be planned for each of them.
        insert into loci_private.embed_queue (model_id, chunk_id)
        select w.model_id, w.chunk_id
        from loci_private.wanted_vectors as w
        where w.row_id = v_row
        order by w.in_use desc, w.chunk_id
        on conflict do nothing;
    else
        perform loci_private.place_vectors(v_row);
    end if;
    if store_row.scope_id is not null and store_row.audience is null then
        insert into loci_private.text_changes (scope_id, chunks)
        select store_row.scope_id, max(jsonb_array_length(s.chunks))
        from jsonb_to_recordset(store_row.sets) as s (chunks jsonb);
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
'Bring the chunks of one row in line with what was read of it, keep what is unchanged, queue what needs a vector. sets: [{chunking_id, chunks: [{context, content, redacted, token_count, metadata}]}], one for each of chunkings_of(). False when that came too late; a row whose text is not stored yet is queued again.';
revoke execute on function loci_private.store_row(
    integer, text, bigint, uuid, uuid, uuid [], text, jsonb, bigint, jsonb, uuid, text
) from public;
grant execute on function loci_private.store_row(
    integer, text, bigint, uuid, uuid, uuid [], text, jsonb, bigint, jsonb, uuid, text
) to loci_worker;
