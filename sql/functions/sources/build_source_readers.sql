create or replace function loci_private.build_source_readers(source_id integer)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
as $$
declare
    v_source loci_private.sources;
    v_owner text;
    v_schema text;
    v_table text;
    v_settings text;
    v_key text;
    v_match text;
    v_row text;
    v_function text;
begin
    select s.* into strict v_source from loci_private.sources as s where s.source_id = build_source_readers.source_id;
    select pg_get_userbyid(c.relowner), n.nspname, c.relname into strict v_owner, v_schema, v_table
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = v_source.relation;

    -- The owner's expressions run with the owner's rights and nothing else: the functions that hold them are security
    -- definer and belong to the table's owner. Their text is a string to every statement here, never part of one.
    -- Settings that shape text are fixed, so that a key always reads the same.
    v_settings := format(
        'security definer set search_path = pg_catalog, %I, public, pg_temp set timezone = ''UTC'' set datestyle = ''ISO, YMD'' '
        'set intervalstyle = ''iso_8601'' set extra_float_digits = 1 set bytea_output = ''hex''', v_schema
    );
    if cardinality(v_source.key_columns) = 1 then
        select format(
            case
                -- An array of arrays would be one array of all their elements.
                when t.typcategory = 'A' then 'from unnest($1) as loci_wanted (key) join %I.%I on %I.%I = loci_wanted.key::%s'
                else 'from %I.%I where %I.%I = any($1::%s[])'
            end,
            v_schema, v_table, v_table, a.attname, format_type(a.atttypid, a.atttypmod)
        ) into v_match
        from pg_attribute as a
        join pg_type as t on t.oid = a.atttypid
        where a.attrelid = v_source.relation and a.attname = v_source.key_columns[1];
    else
        select format(
            'from unnest($1) as loci_wanted (key) join %I.%I on %s', v_schema, v_table,
            string_agg(
                format(
                    '%I.%I = (loci_wanted.key::jsonb ->> %s)::%s', v_table, k.name, k.n - 1,
                    format_type(a.atttypid, a.atttypmod)
                ), ' and ' order by k.n
            )
        ) into v_match
        from unnest(v_source.key_columns) with ordinality as k (name, n)
        join pg_attribute as a on a.attrelid = v_source.relation and a.attname = k.name;
    end if;
    -- The same text as in the triggers, which must not run code of the owner's.
    v_key := format(loci_private.key_template(v_source.relation, v_source.key_columns), quote_ident(v_table));
    v_row := format(
        E'%s,\n(%s\n)::text,\n(%s\n)::uuid,\n(%s\n)::uuid[],\n(%s\n)::jsonb,\n(%s\n)::text,\n(%s\n)::text,\n(%s\n)::text',
        v_key, v_source.content, v_source.scope, coalesce(v_source.audience, 'null'),
        coalesce(v_source.metadata, 'null'), coalesce(v_source.context, 'null'), coalesce(v_source.title, 'null'),
        coalesce(v_source.mime_type, 'null')
    );

    v_function := format('loci_readers.source_%s_read(text[])', source_id);
    execute format(
        'create or replace function loci_readers.%I(keys text[]) '
        'returns table (key text, content text, scope_id uuid, audience uuid[], metadata jsonb, context text, title text, mime_type text) '
        'language sql stable %s as %L',
        format('source_%s_read', source_id), v_settings, E'select\n' || v_row || E'\n' || v_match
    );
    perform loci_private.give_reader(v_function, v_owner);

    v_function := format('loci_readers.source_%s_keys()', source_id);
    execute format(
        'create or replace function loci_readers.%I() returns setof text language sql stable %s as %L',
        format('source_%s_keys', source_id), v_settings,
        format('select %s from %I.%I', v_key, v_schema, v_table)
    );
    perform loci_private.give_reader(v_function, v_owner);

    -- Learns, as the owner, which columns the expressions depend on: PostgreSQL records them for a view.
    v_function := format('loci_readers.source_%s_probe()', source_id);
    execute format(
        'create or replace function loci_readers.%I(out content_columns text[], out place_columns text[]) '
        'language plpgsql volatile %s as %L',
        format('source_%s_probe', source_id), v_settings,
        format(
            $probe$
            declare
                v_relation constant regclass := %1$L;
            begin
                execute %2$L;
                execute %3$L;
                select array_agg(distinct a.attname::text) filter (where d.what = 'loci_probe_content'),
                    array_agg(distinct a.attname::text) filter (where d.what = 'loci_probe_place')
                into content_columns, place_columns
                from (
                    -- Column 0 stands for the whole row, which is no column to pg_depend.
                    select v.relname as what,
                        case when r.ev_action::text ~ ':varattno 0 ' then 0 else nullif(p.refobjsubid, 0) end as refobjsubid
                    from pg_catalog.pg_class as v
                    join pg_catalog.pg_rewrite as r on r.ev_class = v.oid
                    join pg_catalog.pg_depend as p on p.classid = 'pg_catalog.pg_rewrite'::regclass and p.objid = r.oid
                    where v.relnamespace = pg_catalog.pg_my_temp_schema()
                        and v.relname in ('loci_probe_content', 'loci_probe_place')
                        and p.refobjid = v_relation
                ) as d
                join pg_catalog.pg_attribute as a
                    on a.attrelid = v_relation and a.attnum > 0 and not a.attisdropped
                    and (d.refobjsubid = a.attnum or d.refobjsubid = 0);
                drop view pg_temp.loci_probe_content;
                drop view pg_temp.loci_probe_place;
            end
            $probe$,
            format('%I.%I', v_schema, v_table),
            format(
                E'create temporary view loci_probe_content as select (%s\n)::text as content, (%s\n)::jsonb as metadata, '
                '(%s\n)::text as context, (%s\n)::text as title, (%s\n)::text as mime_type from %I.%I',
                v_source.content, coalesce(v_source.metadata, 'null'), coalesce(v_source.context, 'null'),
                coalesce(v_source.title, 'null'), coalesce(v_source.mime_type, 'null'), v_schema, v_table
            ),
            format(
                E'create temporary view loci_probe_place as select (%s\n)::uuid as scope_id, (%s\n)::uuid[] as audience from %I.%I',
                v_source.scope, coalesce(v_source.audience, 'null'), v_schema, v_table
            )
        )
    );
    perform loci_private.give_reader(v_function, v_owner);
end $$;
comment on function loci_private.build_source_readers(integer) is
'Make the functions that read a watched table, each owned by the table''s owner.';
revoke execute on function loci_private.build_source_readers(integer) from public;
