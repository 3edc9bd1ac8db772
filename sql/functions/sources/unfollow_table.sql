create or replace function loci_private.unfollow_table(source_id integer, relation regclass)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_trigger name;
begin
    for v_trigger in
        select g.tgname
        from pg_trigger as g
        where g.tgrelid = unfollow_table.relation
            and g.tgfoid = to_regprocedure(format('loci_private.source_%s_changed()', unfollow_table.source_id))
    loop
        execute format('drop trigger %I on %s', v_trigger, unfollow_table.relation);
    end loop;
    delete from loci_private.source_tables as t
    where t.source_id = unfollow_table.source_id and t.relation = unfollow_table.relation;
end $$;
comment on function loci_private.unfollow_table(integer, regclass) is 'Take the triggers of a source off a table.';
revoke execute on function loci_private.unfollow_table(integer, regclass) from public;
