create or replace function loci.unwatch(relation regclass, drop_index boolean default true)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_source loci_private.sources;
    v_relation regclass;
    v_function text;
begin
    select s.* into v_source from loci_private.sources as s where s.relation = unwatch.relation and s.watched for update;
    if not found then
        return false;
    end if;
    if unwatch.relation::oid in (select c.oid from pg_class as c) then
        perform loci_private.require_owner(unwatch.relation);
    end if;
    for v_relation in
        select t.relation from loci_private.source_tables as t where t.source_id = v_source.source_id
    loop
        perform loci_private.unfollow_table(v_source.source_id, v_relation);
    end loop;
    for v_function in
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in ('loci_private'::regnamespace, 'loci_readers'::regnamespace)
            and p.proname ~ format('^source_%s_(read|keys|probe|place|changed)$', v_source.source_id)
    loop
        execute 'drop function if exists ' || v_function || ' cascade';
    end loop;
    -- Marks go with the queue. What they hide is not for those who could see it before: it goes too.
    perform loci_private.remove_rows(array_agg(r.row_id))
    from loci_private.source_rows as r
    where r.source_id = v_source.source_id and (
        r.row_id in (select h.row_id from loci_private.hidden_rows as h)
        or r.source_id in (select h.source_id from loci_private.hidden_sources as h)
    )
    having count(*) > 0;
    delete from loci_private.row_queue as q where q.source_id = v_source.source_id;
    delete from loci_private.row_bulk as b where b.source_id = v_source.source_id;
    delete from loci_private.failures as f where f.source_id = v_source.source_id;
    if unwatch.drop_index then
        perform loci_private.remove_rows(array_agg(r.row_id))
        from loci_private.source_rows as r
        where r.source_id = v_source.source_id
        having count(*) > 0;
        delete from loci_private.sources as s where s.source_id = v_source.source_id;
    else
        update loci_private.sources as s
        set watched = false
        where s.source_id = v_source.source_id;
        -- It cannot be read any more: what is being switched stays with the chunks in use.
        perform loci_private.plan_chunkings();
    end if;
    return true;
end $$;
comment on function loci.unwatch(regclass, boolean) is
'Stop watching a table and, unless drop_index is false, forget everything made from it. False when it was not watched; LC243 without the owner''s rights.';
revoke execute on function loci.unwatch(regclass, boolean) from public;
grant execute on function loci.unwatch(regclass, boolean) to loci_admin;
