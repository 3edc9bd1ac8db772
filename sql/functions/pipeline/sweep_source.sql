create or replace function loci_private.sweep_source(source_id integer, op text, version bigint, lease uuid)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_gone text[];
    v_newest bigint;
begin
    -- One look at the table answers for every mark of this kind.
    with answered as (
        delete from loci_private.row_queue as q
        where q.queue_id in (
            select w.queue_id
            from loci_private.row_queue as w
            where w.source_id = sweep_source.source_id and w.key = ''
                and (w.op = sweep_source.op or (w.op in ('truncate', 'scan') and sweep_source.op = 'resync'))
            for update of w skip locked
        )
        returning q.queue_id
    )
    select greatest(max(a.queue_id), sweep_source.version) into v_newest from answered as a;
    if sweep_source.op = 'scan' then
        perform loci_private.enqueue_source(sweep_source.source_id, only_missing => true);
        return;
    end if;
    -- What other drains have read until now may be gone: they must not store it any more.
    with fenced as (
        delete from loci_private.row_queue as q
        where q.source_id = sweep_source.source_id and q.queue_id < v_newest and q.lease <> sweep_source.lease and q.key <> ''
        returning q.source_id, q.key
    )
    insert into loci_private.row_queue (source_id, key, op)
    select distinct f.source_id, f.key, 'place' from fenced as f;
    select array_agg(r.key) into v_gone
    from loci_private.source_rows as r
    where r.source_id = sweep_source.source_id and r.version <= v_newest
        and not exists (
            select from loci_private.source_keys(sweep_source.source_id) as k (key) where k.key = r.key
        );
    perform loci_private.forget_rows(sweep_source.source_id, v_gone, v_newest);
    if sweep_source.op = 'resync' then
        -- Changes were missed: each known row stays hidden until it has been read again.
        insert into loci_private.row_queue (source_id, key, op)
        select r.source_id, r.key, 'place'
        from loci_private.source_rows as r
        where r.source_id = sweep_source.source_id and r.version <= v_newest;
        insert into loci_private.row_queue (source_id, key, op)
        select distinct f.source_id, f.key, 'upsert'
        from loci_private.failures as f
        where f.source_id = sweep_source.source_id and f.stage = 'split' and f.key <> '';
        perform loci_private.enqueue_source(sweep_source.source_id, only_missing => true);
    else
        -- What is there again under its old key is another row, and what was moved is not to be seen yet.
        perform loci_private.unpack_rows(sweep_source.source_id);
        insert into loci_private.row_queue (source_id, key, op)
        select r.source_id, r.key, 'place'
        from loci_private.source_rows as r
        where r.source_id = sweep_source.source_id and r.version <= v_newest
            and (
                exists (
                    select from loci_private.row_queue as q
                    where q.source_id = r.source_id and q.key = r.key
                        and q.queue_id > case q.op when 'upsert' then r.version else r.placed_version end
                )
                or exists (select from loci_private.failures as f where f.source_id = r.source_id and f.key = r.key)
            );
        -- The rest (of other partitions) is as it was, unless a resync is to come.
        update loci_private.source_rows as r
        set placed_version = v_newest
        where r.source_id = sweep_source.source_id and r.placed_version < v_newest
            and not exists (
                select from loci_private.row_queue as q
                where q.source_id = r.source_id and q.key = '' and q.op = 'resync'
            );
    end if;
end $$;
comment on function loci_private.sweep_source(integer, text, bigint, uuid) is
'Work off a mark on a whole source: remove rows that are gone (truncate), look again at all of them (resync), look for missing ones (scan).';
revoke execute on function loci_private.sweep_source(integer, text, bigint, uuid) from public;
grant execute on function loci_private.sweep_source(integer, text, bigint, uuid) to loci_worker;
