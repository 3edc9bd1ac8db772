create or replace function loci_private.build_source_triggers(source_id integer)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_source loci_private.sources;
    v_key text;
    v_relevant text;
    v_place text;
    v_place_arguments text;
    v_settings text := '';
    v_function text := format('source_%s_changed', source_id);
begin
    select s.* into strict v_source from loci_private.sources as s where s.source_id = build_source_triggers.source_id;
    -- Templates for format(), where %1$s stands for the row.
    v_key := loci_private.key_template(v_source.relation, v_source.key_columns) || ' collate "C"';
    v_relevant := loci_private.column_template(v_source.content_columns);
    v_place := loci_private.column_template(v_source.place_columns);
    v_place_arguments := format(v_place, 'n');
    -- Settings that shape the text of a key are fixed, unless its types know none: setting them is a good part of what a
    -- single-row statement costs.
    if exists (
        select from pg_attribute as a
        where a.attrelid = v_source.relation and a.attname = any(v_source.key_columns)
            and a.atttypid <> all('{int2,int4,int8,uuid,text,varchar,bpchar,name,bool}'::regtype[]::oid[])
    ) then
        v_settings := 'set timezone = ''UTC'' set datestyle = ''ISO, YMD'' set intervalstyle = ''iso_8601'' '
            'set extra_float_digits = 1 set bytea_output = ''hex''';
    end if;

    -- Static text: planned once a session. Rows are compared byte by byte (*<>), which works for every type and runs no
    -- code of anybody else. Inserting into row_queue never waits and never conflicts, at any isolation level. After the first
    -- ten rows of an INSERT the rest (in the same order: both read what the statement wrote) goes in bulk.
    execute format(
        $create$
        create or replace function loci_private.%1$I()
        returns trigger
        language plpgsql security definer
        set search_path = pg_catalog, pg_temp set lock_timeout = '1s' %2$s
        as %3$L
        $create$,
        v_function, v_settings,
        format(
            $body$
            declare
                v_places jsonb;
                v_count bigint;
            begin
                if tg_op = 'INSERT' then
                    insert into loci_private.row_queue (source_id, key, op)
                    select %1$s, %2$s, 'upsert' from new_rows as n limit 10;
                    get diagnostics v_count = row_count;
                    if v_count = 10 then
                        insert into loci_private.row_bulk (source_id, keys, queue_ids)
                        select %1$s, array_agg(n.key), array_agg(n.queue_id)
                        from (
                            select %2$s as key, nextval('loci_private.row_queue_queue_id_seq'::regclass) as queue_id
                            from new_rows as n offset 10
                        ) as n
                        group by n.queue_id / 1000;
                    end if;
                elsif tg_op = 'UPDATE' then
                    with changed as (
                        select coalesce(n.loci_key, o.loci_key) as key, n.loci_key is null as gone,
                            n.loci_key is null or (o.loci_key is not null and n.loci_place *<> o.loci_place) as placing,
                            o.loci_key is not null and n.loci_key is not null and n.loci_content *<> o.loci_content as rewritten
                        from (select %3$s as loci_key, row(%5$s) as loci_content, row(%6$s) as loci_place from old_rows as o) as o
                        full join (select %2$s as loci_key, row(%4$s) as loci_content, row(%8$s) as loci_place from new_rows as n) as n
                            on n.loci_key = o.loci_key
                        where n.loci_key is null or o.loci_key is null
                            or n.loci_content *<> o.loci_content or n.loci_place *<> o.loci_place
                    ), queued as (
                        insert into loci_private.row_queue (source_id, key, op)
                        select %1$s, c.key, case when c.placing or (c.rewritten and %7$s) then 'place' else 'upsert' end
                        from changed as c
                        returning queue_id, key, op
                    )
                    -- A row that was rewritten at the same time stays hidden by its mark: its old text is not for the new place.
                    select jsonb_agg(jsonb_build_object('key', q.key, 'version', q.queue_id, 'gone', c.gone)) into v_places
                    from queued as q join changed as c on c.key = q.key
                    where c.placing and not c.rewritten;
                    if v_places is not null and jsonb_array_length(v_places) <= loci.setting('inline_rows')::integer then
                        select jsonb_agg(jsonb_build_object(
                            'key', p.key, 'version', p.version, 'scope_id', l.scope_id, 'audience', l.audience
                        )) into v_places
                        from jsonb_to_recordset(v_places) as p (key text, version bigint, gone boolean)
                        left join (select %2$s as loci_key, n.* from new_rows as n) as n on n.loci_key = p.key and not p.gone
                        left join lateral loci_readers.%9$I(%10$s) as l on n.loci_key is not null;
                        perform loci_private.place_rows(%1$s, v_places);
                    end if;
                elsif tg_op = 'DELETE' then
                    with queued as (
                        insert into loci_private.row_queue (source_id, key, op)
                        select %1$s, %3$s, 'place' from old_rows as o
                        returning queue_id, key
                    )
                    select jsonb_agg(jsonb_build_object('key', q.key, 'version', q.queue_id)) into v_places
                    from queued as q;
                    if v_places is not null and jsonb_array_length(v_places) <= loci.setting('inline_rows')::integer then
                        perform loci_private.place_rows(%1$s, v_places);
                    end if;
                else
                    insert into loci_private.row_queue (source_id, key, op) values (%1$s, '', 'truncate');
                end if;
                return null;
            exception
                when query_canceled or deadlock_detected or serialization_failure then
                    raise;
                when others then
                    perform loci_private.trigger_failed(%1$s, tg_op, sqlstate, sqlerrm);
                    return null;
            end
            $body$,
            source_id,
            format(v_key, 'n'), format(v_key, 'o'),
            format(v_relevant, 'n'), format(v_relevant, 'o'),
            format(v_place, 'o'),
            case v_source.on_update when 'hide' then 'true' else 'false' end,
            format(v_place, 'n'),
            format('source_%s_place', source_id), v_place_arguments
        )
    );
    execute format('revoke execute on function loci_private.%I() from public', v_function);
    execute format('alter function loci_private.%I() owner to loci_owner', v_function);

    perform loci_private.follow_tables(build_source_triggers.source_id);
end $$;
comment on function loci_private.build_source_triggers(integer) is
'Make the trigger function of a source and its triggers on the table and its partitions.';
revoke execute on function loci_private.build_source_triggers(integer) from public;
