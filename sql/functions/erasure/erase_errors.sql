create or replace function loci_private.erase_errors(scope_id uuid)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_source record;
    v_others text[];
    v_count bigint := 0;
    v_more bigint;
begin
    for v_source in
        select f.source_id, array_agg(distinct f.key) as keys
        from (
            select o.source_id, o.key from loci_private.failures as o where o.source_id is not null
            union all
            select q.source_id, q.key from loci_private.row_queue as q where q.last_error is not null
        ) as f
        group by f.source_id
    loop
        begin
            select array_agg(r.key) into v_others
            from loci_private.read_rows(v_source.source_id, v_source.keys) as r
            where r.scope_id <> erase_errors.scope_id;
        exception when others then
            -- Whose they are cannot be told.
            v_others := null;
        end;
        update loci_private.failures as f
        set error = jsonb_build_object('sqlstate', f.error -> 'sqlstate', 'message', 'erased')
        where f.source_id = v_source.source_id and f.key = any(v_source.keys) and f.key <> all(coalesce(v_others, '{}'));
        get diagnostics v_more = row_count;
        v_count := v_count + v_more;
        update loci_private.row_queue as q
        set last_error = jsonb_build_object('sqlstate', q.last_error -> 'sqlstate', 'message', 'erased')
        where q.source_id = v_source.source_id and q.last_error is not null and q.key = any(v_source.keys)
            and q.key <> all(coalesce(v_others, '{}'));
        get diagnostics v_more = row_count;
        v_count := v_count + v_more;
        update loci_private.sources as s
        set broken_error = 'erased'
        where s.source_id = v_source.source_id and s.broken_error is not null;
    end loop;
    return v_count;
end $$;
comment on function loci_private.erase_errors(uuid) is
'Errors of rows in a scope may quote them: only their codes are kept, as for rows that cannot be read. How many.';
revoke execute on function loci_private.erase_errors(uuid) from public;
