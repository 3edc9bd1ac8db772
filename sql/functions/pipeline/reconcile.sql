create or replace function loci.reconcile(deep boolean default false)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_source loci_private.sources;
    v_model integer;
    v_count bigint;
    v_total bigint := 0;
begin
    -- Rows of sources that no longer exist.
    delete from loci_private.row_queue as q
    where not exists (select from loci_private.sources as s where s.source_id = q.source_id);
    delete from loci_private.row_bulk as b
    where not exists (select from loci_private.sources as s where s.source_id = b.source_id);
    delete from loci_private.failures as f
    where f.stage <> 'complete' and not exists (select from loci_private.sources as s where s.source_id = f.source_id);

    for v_source in select s.* from loci_private.sources as s where s.watched order by s.source_id loop
        -- In a restored dump the number of a table that was dropped may be another table's.
        if not exists (
            select from loci_private.source_tables as t
            join pg_class as c on c.oid = t.relation
            where t.source_id = v_source.source_id and t.relation = v_source.relation
        ) then
            delete from loci_private.source_tables as t
            where t.source_id = v_source.source_id and not exists (select from pg_class as c where c.oid = t.relation);
            perform loci_private.remove_rows(array_agg(r.row_id))
            from loci_private.source_rows as r
            where r.source_id = v_source.source_id
            having count(*) > 0;
            delete from loci_private.row_queue as q where q.source_id = v_source.source_id;
            delete from loci_private.row_bulk as b where b.source_id = v_source.source_id;
            perform loci_private.break_source(v_source.source_id, 'the table was dropped');
            continue;
        end if;
        begin
            if loci_private.is_fresh(v_source.source_id) is not true then
                perform loci_private.refresh_source(v_source.source_id);
                perform loci_private.read_rows(v_source.source_id, '{}');
                -- What happened to its rows meanwhile may have been missed.
                insert into loci_private.row_queue (source_id, key, op) values (v_source.source_id, '', 'resync');
                update loci_private.sources as s
                set broken_since = null, broken_error = null
                where s.source_id = v_source.source_id;
            end if;
            v_total := v_total + loci_private.enqueue_source(v_source.source_id, only_missing => true);
            insert into loci_private.row_queue (source_id, key, op)
            select r.source_id, r.key, 'place'
            from loci_private.source_rows as r
            where r.source_id = v_source.source_id
                and not exists (select from loci_private.source_keys(v_source.source_id) as k (key) where k.key = r.key)
                and not exists (select from loci_private.row_queue as q where q.source_id = r.source_id and q.key = r.key);
            get diagnostics v_count = row_count;
            v_total := v_total + v_count;
            -- An expression that looks at other rows is not told when they change.
            if not reconcile.deep and concat_ws(' ', v_source.content, v_source.context, v_source.metadata, v_source.title) ~* '\mselect\M' then
                v_total := v_total + loci_private.enqueue_stale(v_source.source_id, 10000);
            end if;
            if reconcile.deep then
                insert into loci_private.row_queue (source_id, key, op)
                select r.source_id, r.key, 'place'
                from loci_private.source_rows as r
                cross join lateral loci_private.read_rows(r.source_id, array[r.key]) as n
                where r.source_id = v_source.source_id and n.fingerprint is distinct from r.fingerprint
                    and not exists (
                        select from loci_private.row_queue as q where q.source_id = r.source_id and q.key = r.key
                    );
                get diagnostics v_count = row_count;
                v_total := v_total + v_count;
            end if;
        exception when others then
            perform loci_private.break_source(v_source.source_id, sqlerrm);
        end;
    end loop;

    v_total := v_total + loci_private.enqueue_unredacted();
    perform loci_private.plan_chunkings();
    -- Rows that slipped through while a switch was being fed are looked for once more.
    update loci_private.chunking_assignments as c
    set fed_row = 0
    where c.active_chunking <> c.target_chunking and c.fed_row > 0;
    -- Rows that lack chunks, or those that are in use where they belong, and rows that belong elsewhere since their user
    -- joined or left an organization.
    with places as materialized (
        select s.scope_id, loci_private.organization_of(s.scope_id) as organization_id
        from loci_private.scopes as s
        where s.scope_id in (select r.scope_id from loci_private.source_rows as r)
    )
    insert into loci_private.row_queue (source_id, key, op)
    select r.source_id, r.key, 'upsert'
    from loci_private.source_rows as r
    join loci_private.sources as s on s.source_id = r.source_id and s.watched
    join places as p on p.scope_id = r.scope_id
    where (
        r.organization_id is distinct from p.organization_id or (
            (r.has_text or exists (select from loci_private.chunks as c where c.row_id = r.row_id))
            and not exists (select from loci_private.wanted_vectors as w where w.row_id = r.row_id and w.in_use)
        ) or exists (
            select from loci_private.chunks as c
            where c.row_id = r.row_id
            group by c.chunking_id
            having count(*) < max(c.set_size)
        )
    )
        and not exists (select from loci_private.row_queue as q where q.source_id = r.source_id and q.key = r.key)
        and not exists (select from loci_private.failures as f where f.source_id = r.source_id and f.key = r.key);
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;
    -- Chunks that nobody wants beside those in use: search leaves them out from now on, and the drain removes them.
    update loci_private.chunking_assignments as s
    set surplus = true
    where not s.surplus and exists (
        select from loci_private.chunkings as k
        join loci_private.chunks as c on c.chunking_id = k.chunking_id
        left join loci_private.model_assignments as o on o.organization_id = c.organization_id
        where k.source_id = s.source_id
            and coalesce(o.assignment_id, (loci_private.assignment_of(null)).assignment_id) = s.assignment_id
            and k.chunking_id <> s.active_chunking and k.chunking_id is distinct from s.adopted_chunking
            and exists (select from loci_private.wanted_vectors as w where w.row_id = c.row_id and w.in_use)
    );
    for v_model in select m.model_id from loci.embedding_models as m loop
        execute format(
            'delete from loci_private.%I as e
            where not exists (select from loci_private.chunks as c where c.chunk_id = e.chunk_id)',
            loci_private.model_table(v_model)
        );
        get diagnostics v_count = row_count;
        if v_count > 0 then
            perform loci_private.note_change(null);
        end if;
        v_total := v_total + loci_private.enqueue_missing(v_model);
    end loop;
    delete from loci_private.embed_queue as q
    where not exists (select from loci_private.chunks as c where c.chunk_id = q.chunk_id);
    perform loci_private.activate_complete();
    perform loci_private.log_event('job', jsonb_build_object('job', 'loci reconcile', 'queued', v_total));
    return v_total;
end $$;
comment on function loci.reconcile(boolean) is
'Find and queue every gap between watched tables, chunks and vectors; returns how many rows and chunks were queued. deep: also compare the content of every row.';
revoke execute on function loci.reconcile(boolean) from public;
grant execute on function loci.reconcile(boolean) to loci_admin, loci_worker;
