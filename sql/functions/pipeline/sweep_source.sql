create or replace function loci_private.sweep_source(source_id integer, op text, version bigint)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_gone text[];
begin
    if sweep_source.op = 'scan' then
        perform loci_private.enqueue_source(sweep_source.source_id, only_missing => true);
        return;
    end if;
    execute format(
        'select array_agg(r.key) from loci_private.source_rows as r
        where r.source_id = $1 and r.version <= $2
            and not exists (select from loci_private.%I() as k (key) where k.key = r.key)',
        format('source_%s_keys', sweep_source.source_id)
    ) into v_gone using sweep_source.source_id, sweep_source.version;
    perform loci_private.forget_rows(sweep_source.source_id, v_gone, sweep_source.version);
    if sweep_source.op = 'resync' then
        -- Changes were missed: each known row stays hidden until it has been read again.
        insert into loci_private.row_queue (source_id, key, op)
        select r.source_id, r.key, 'place' from loci_private.source_rows as r where r.source_id = sweep_source.source_id;
        perform loci_private.enqueue_source(sweep_source.source_id, only_missing => true);
    else
        -- What is still there is as it was.
        update loci_private.source_rows as r
        set placed_version = greatest(r.placed_version, sweep_source.version)
        where r.source_id = sweep_source.source_id;
    end if;
end $$;
comment on function loci_private.sweep_source(integer, text, bigint) is
'Work off a mark on a whole source: remove rows that are gone (truncate), look again at all of them (resync), look for missing ones (scan).';
revoke execute on function loci_private.sweep_source(integer, text, bigint) from public;
grant execute on function loci_private.sweep_source(integer, text, bigint) to loci_worker;
