-- Partitions come and go without a word to loci.watch(). Both functions have a superuser's rights in everybody's DDL, so
-- they look at nothing but the catalogue, call nothing of anybody else, and never make the statement fail or wait.
create or replace function loci_private.follow_partitions()
returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_source integer;
begin
    -- A table with a source of its own that was attached to another: its triggers no longer tell everything.
    with attached as (
        update loci_private.sources as s
        set broken_since = now(), broken_error = 'the table is a partition now'
        from pg_class as c
        where c.oid = s.relation and c.relispartition and s.watched and s.broken_since is null and tg_tag = 'ALTER TABLE'
        returning s.source_id
    )
    insert into loci_private.row_queue (source_id, key, op)
    select a.source_id, '', 'resync' from attached as a;
    for v_source in
        select distinct s.source_id
        from pg_event_trigger_ddl_commands() as d
        cross join lateral pg_partition_ancestors(d.objid) as a
        join loci_private.sources as s on s.relation = a.relid and s.watched and s.broken_since is null
        where d.classid = 'pg_class'::regclass
    loop
        -- What was attached may have rows. If it was detached a moment ago, they may have changed since.
        if loci_private.follow_tables(v_source) and tg_tag = 'ALTER TABLE' then
            insert into loci_private.row_queue (source_id, key, op)
            select v_source, '', case
                when exists (
                    select from loci_private.row_queue as q where q.source_id = v_source and q.key = '' and q.op = 'truncate'
                ) then 'resync'
                else 'scan'
            end;
        end if;
    end loop;
exception when others then
    raise warning 'Loci could not follow this change of partitions: %', sqlerrm
        using errcode = sqlstate, hint = 'The statement itself is unharmed; select loci.reconcile() makes up for it.';
end $$;
comment on function loci_private.follow_partitions() is 'Partitions that are made, attached or detached are followed from the same statement on.';
revoke execute on function loci_private.follow_partitions() from public;

create or replace function loci_private.forget_tables()
returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
begin
    with dropped as (
        delete from loci_private.source_tables as t
        using pg_event_trigger_dropped_objects() as d
        where d.classid = 'pg_class'::regclass and d.objsubid = 0 and t.relation = d.objid
        returning t.source_id
    )
    insert into loci_private.row_queue (source_id, key, op)
    select distinct d.source_id, '', 'truncate' from dropped as d;
exception when others then
    raise warning 'Loci could not follow this drop: %', sqlerrm
        using errcode = sqlstate, hint = 'The statement itself is unharmed; select loci.reconcile() makes up for it.';
end $$;
comment on function loci_private.forget_tables() is 'Rows of a watched table or partition that is dropped are hidden at once.';
revoke execute on function loci_private.forget_tables() from public;

drop event trigger if exists loci_partitions;
create event trigger loci_partitions on ddl_command_end
when tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA')
execute function loci_private.follow_partitions();
comment on event trigger loci_partitions is 'Lets Loci follow new partitions of watched tables.';
drop event trigger if exists loci_drops;
create event trigger loci_drops on sql_drop
execute function loci_private.forget_tables();
comment on event trigger loci_drops is 'Lets Loci hide rows of watched tables that are dropped.';
