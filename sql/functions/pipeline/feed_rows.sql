create or replace function loci_private.feed_rows()
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_switch loci_private.chunking_assignments;
    v_default integer := (loci_private.assignment_of(null)).assignment_id;
    v_last bigint;
    v_count integer;
    v_left integer := loci.setting('split_batch')::integer;
begin
    -- A few at a time, and only when nothing else is due: what applications write does not wait behind a whole table.
    for v_switch in
        select c.*
        from loci_private.chunking_assignments as c
        join loci_private.sources as s on s.source_id = c.source_id
        where c.active_chunking <> c.target_chunking and c.fed_row < 9223372036854775807
            and s.watched and s.broken_since is null
        order by c.source_id, c.assignment_id
        for no key update of c skip locked
    loop
        with found as materialized (
            select r.row_id, r.key
            from loci_private.source_rows as r
            left join loci_private.model_assignments as o on o.organization_id = r.organization_id
            where r.source_id = v_switch.source_id and r.row_id > v_switch.fed_row
                and coalesce(o.assignment_id, v_default) = v_switch.assignment_id
                and exists (select from loci_private.chunks as c where c.row_id = r.row_id)
                and not exists (
                    select from loci_private.chunks as c
                    join loci_private.chunking_uses as u
                        on u.source_id = c.source_id and u.chunking_id = c.chunking_id and u.coming
                    where c.row_id = r.row_id and u.assignment_id = v_switch.assignment_id
                )
                and not exists (
                    select from loci_private.failures as f
                    where f.source_id = r.source_id and f.key = r.key and f.stage = 'split'
                )
            order by r.row_id
            limit v_left
        ), queued as (
            insert into loci_private.row_queue (source_id, key, op)
            select v_switch.source_id, f.key, 'upsert'
            from found as f
            where not exists (
                select from loci_private.row_queue as q
                where q.source_id = v_switch.source_id and q.key = f.key and q.lease is null
            )
        )
        select max(f.row_id), count(*) into v_last, v_count from found as f;
        update loci_private.chunking_assignments as c
        set fed_row = coalesce(v_last, 9223372036854775807), fed_version = loci_private.newest_version()
        where c.source_id = v_switch.source_id and c.assignment_id = v_switch.assignment_id;
        v_left := v_left - v_count;
        exit when v_left <= 0;
    end loop;
    return loci.setting('split_batch')::integer - v_left;
end $$;
comment on function loci_private.feed_rows() is
'Queue the next rows that have to be split anew for a chunking that is to come into use; returns how many.';
revoke execute on function loci_private.feed_rows() from public;
grant execute on function loci_private.feed_rows() to loci_worker;
