create or replace function loci_private.follow_tables(source_id integer)
returns boolean
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_function regprocedure := format('loci_private.source_%s_changed()', source_id)::regprocedure;
    v_root regclass;
    v_relation regclass;
    v_trigger text;
    v_new bigint;
begin
    select s.relation into strict v_root from loci_private.sources as s where s.source_id = follow_tables.source_id;
    -- What is written through its parent would fire none of its triggers.
    if exists (select from pg_class as c where c.oid = v_root and c.relispartition) then
        raise exception '% is a partition', v_root
            using errcode = 'LC292', hint = 'Watch the partitioned table; one that was watched before it was attached: loci.unwatch() it.';
    end if;
    -- A statement on a partition fires the partition's triggers, one on the parent the parent's: each has its own.
    -- Only those that are missing: making a trigger locks the table against writers.
    for v_relation, v_trigger in
        select m.relation, t.name
        from loci_private.members_of(v_root) as m
        cross join unnest(array['loci_insert', 'loci_update', 'loci_delete', 'loci_truncate']) as t (name)
        where not exists (
            select from pg_trigger as g
            where g.tgrelid = m.relation and g.tgname = t.name and g.tgfoid = v_function
        )
    loop
        execute format(
            'create or replace trigger %I after %s for each statement execute function %s',
            v_trigger,
            format(
                case v_trigger
                    when 'loci_insert' then 'insert on %s referencing new table as new_rows'
                    when 'loci_update' then 'update on %s referencing old table as old_rows new table as new_rows'
                    when 'loci_delete' then 'delete on %s referencing old table as old_rows'
                    else 'truncate on %s'
                end, v_relation
            ),
            v_function
        );
    end loop;
    insert into loci_private.source_tables (source_id, relation)
    select follow_tables.source_id, m.relation from loci_private.members_of(v_root) as m
    on conflict do nothing;
    get diagnostics v_new = row_count;
    for v_relation in
        select t.relation
        from loci_private.source_tables as t
        where t.source_id = follow_tables.source_id
            and not exists (select from loci_private.members_of(v_root) as m where m.relation = t.relation)
    loop
        perform loci_private.unfollow_table(follow_tables.source_id, v_relation);
        -- Its rows are the source's no more.
        insert into loci_private.row_queue (source_id, key, op) values (follow_tables.source_id, '', 'truncate');
    end loop;
    return v_new > 0;
end $$;
comment on function loci_private.follow_tables(integer) is
'Make the triggers of a source on its table and partitions that lack them, and take them off partitions that left; true when there were new ones.';
revoke execute on function loci_private.follow_tables(integer) from public;
