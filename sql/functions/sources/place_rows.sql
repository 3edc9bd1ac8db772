create or replace function loci_private.place_rows(source_id integer, places jsonb)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
-- Rows are found by index, whatever size the tables had when the session planned this.
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    v_model integer;
    v_rows bigint[];
    v_gone bigint[];
begin
    -- In a snapshot older than the drain's work this could fail with a serialization error. The mark in row_queue
    -- hides the rows in any case.
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    -- Never wait for a drain: rows it holds stay hidden by their mark until it comes back to them.
    with wanted as (
        select p.key, p.version, loci_private.organization_of(p.scope_id) as organization_id,
            p.scope_id is not null and exists (
                select from loci_private.scopes as s where s.scope_id = p.scope_id
            ) as kept
        from jsonb_to_recordset(place_rows.places) as p (key text, version bigint, scope_id uuid)
    ), locked as (
        select r.row_id, w.kept, r.organization_id is distinct from w.organization_id as leaving
        from loci_private.source_rows as r
        join wanted as w on w.key = r.key
        where r.source_id = place_rows.source_id
            -- Text that is not the row's any more must not turn up in another place: it waits behind the mark.
            and not (w.kept and exists (
                select from loci_private.row_queue as q
                where q.source_id = r.source_id and q.key in (r.key, '') and q.queue_id < w.version and q.op <> 'scan'
                    and q.queue_id > case q.op when 'upsert' then r.version else r.placed_version end
            ))
        for update of r skip locked
    ), locked_chunks as (
        select c.chunk_id, c.row_id
        from loci_private.chunks as c
        where c.row_id in (select l.row_id from locked as l)
        for update of c skip locked
    ), whole as (
        select l.row_id, l.kept
        from locked as l
        where (select count(*) from loci_private.chunks as c where c.row_id = l.row_id)
            = (select count(*) from locked_chunks as k where k.row_id = l.row_id)
            -- Of a row that is being switched to other chunks, those are told apart by its organization: it waits, too.
            and not (
                l.kept and l.leaving
                and (select count(distinct c.chunking_id) from loci_private.chunks as c where c.row_id = l.row_id) > 1
            )
    )
    select coalesce(array_agg(w.row_id) filter (where w.kept), '{}'),
        coalesce(array_agg(w.row_id) filter (where not w.kept), '{}')
    into v_rows, v_gone
    from whole as w;

    perform loci_private.remove_rows(v_gone);
    if cardinality(v_rows) = 0 then
        return;
    end if;
    update loci_private.source_rows as r
    set scope_id = p.scope_id, audience = p.audience, placed_version = p.version,
        organization_id = loci_private.organization_of(p.scope_id)
    from jsonb_to_recordset(place_rows.places) as p (key text, version bigint, scope_id uuid, audience uuid[])
    where r.row_id = any(v_rows) and r.key = p.key;
    update loci_private.chunks as c
    set scope_id = r.scope_id, audience = r.audience, organization_id = r.organization_id
    from loci_private.source_rows as r
    where r.row_id = any(v_rows) and c.row_id = r.row_id;
    for v_model in select m.model_id from loci.embedding_models as m loop
        execute format(
            'update loci_private.%I as e
            set scope_id = r.scope_id, audience = r.audience, organization_id = r.organization_id
            from loci_private.source_rows as r
            where r.row_id = any($1) and e.row_id = r.row_id', loci_private.model_table(v_model)
        ) using v_rows;
    end loop;
end $$;
comment on function loci_private.place_rows(integer, jsonb) is
'Carry moved rows to their new scope and audience and remove deleted ones, within the application''s transaction. places: [{key, version, scope_id, audience}], scope_id null: removed.';
revoke execute on function loci_private.place_rows(integer, jsonb) from public;
