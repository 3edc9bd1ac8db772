create or replace function loci_private.build_pgai_reader(source_id integer, vectorizer jsonb, plan jsonb)
returns text
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
as $$
declare
    v_source loci_private.sources;
    v_owner text;
    v_schema text;
    v_table text;
    v_target regclass;
    v_column text := coalesce(plan ->> 'column', 'embedding');
    v_waiting regclass[];
    v_denied regclass[];
    v_schemas text;
    v_tables text;
    v_match text := '';
    v_queue regclass;
    v_name text := format('source_%s_pgai', source_id);
begin
    select s.* into strict v_source from loci_private.sources as s where s.source_id = build_pgai_reader.source_id;
    select pg_get_userbyid(c.relowner), n.nspname, c.relname into strict v_owner, v_schema, v_table
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = v_source.relation;
    v_target := case when plan ->> 'column' is null then to_regclass(plan ->> 'target') else v_source.relation end;
    if v_target is null or not exists (
        select from pg_attribute as a
        where a.attrelid = v_target and a.attname = v_column and a.atttypid = 'public.vector'::regtype
    ) then
        raise exception 'the embeddings of this vectorizer are gone'
            using errcode = 'LC273',
            detail = format('There is no column %I of type vector in %s.', v_column, coalesce(plan ->> 'target', v_source.relation::text)),
            hint = 'Nothing is left to take over: watch the table with loci.watch() instead.';
    end if;
    -- What pgai has still to embed, or failed to, has changed since its chunks were made.
    select array_agg(w.relation) into v_waiting
    from (
        select to_regclass(quote_ident(vectorizer ->> 'queue_schema') || '.' || quote_ident(vectorizer ->> k.name)) as relation
        from unnest(array['queue_table', 'queue_failed_table']) as k (name)
    ) as w
    where w.relation is not null;
    select array_agg(r.relation),
        string_agg(distinct format('grant usage on schema %I to %I;', n.nspname, v_owner), ' '),
        string_agg(format('grant select on %s to %I;', r.relation, v_owner), ' ')
    into v_denied, v_schemas, v_tables
    from unnest(v_waiting || v_target) as r (relation)
    join pg_class as c on c.oid = r.relation
    join pg_namespace as n on n.oid = c.relnamespace
    where not has_table_privilege(v_owner, c.oid, 'select') or not has_schema_privilege(v_owner, n.oid, 'usage');
    if v_denied is not null then
        raise exception 'pgai''s tables are out of the reach of the owner of %', v_source.relation
            using errcode = 'LC278', detail = format('%s may not read %s.', v_owner, array_to_string(v_denied, ', ')),
            hint = concat_ws(' ', v_schemas, v_tables);
    end if;

    foreach v_queue in array coalesce(v_waiting, '{}') loop
        v_match := v_match || format(
            ' and not exists (select from %s as q where (%s) = (%s))', v_queue,
            format(loci_private.column_template(v_source.key_columns), 's'),
            format(loci_private.column_template(v_source.key_columns), 'q')
        );
    end loop;
    -- Like the other readers of a source: with the rights of the table's owner, under fixed settings, so that a key
    -- reads the same.
    execute format(
        'create or replace function loci_readers.%I() '
        'returns table (key text, ordinal integer, stored text, content text, context text, embedding public.vector) '
        'language sql stable security definer set search_path = pg_catalog, %I, public, pg_temp set timezone = ''UTC'' '
        'set datestyle = ''ISO, YMD'' set intervalstyle = ''iso_8601'' set extra_float_digits = 1 set bytea_output = ''hex'' as %L',
        v_name, v_schema,
        format(
            $reader$
            select s.loci_key, (row_number() over (partition by s.loci_key order by %1$s) - 1)::integer, %2$s,
                btrim(%3$s, E' \t\n\r\f\v'), s.loci_context, %4$s
            from (
                select %5$s, (%6$s) as loci_key, (%7$s
                )::text as loci_content, nullif(btrim((%8$s
                )::text), '') as loci_context, (%9$s
                )::text as loci_stored%10$s
                from %11$s
            ) as s %12$s
            where true%13$s
            $reader$,
            case when plan ->> 'column' is null then 't.chunk_seq' else '1' end,
            case when plan ->> 'column' is null then 't.chunk' else 's.loci_content' end,
            case
                when plan ->> 'column' is not null then 's.loci_content'
                else 'case when starts_with(t.chunk, s.loci_stored) then substr(t.chunk, length(s.loci_stored) + 1) end'
            end,
            case when plan ->> 'column' is null then 't.embedding' else 's.loci_embedding' end,
            format(loci_private.column_template(v_source.key_columns), quote_ident(v_table)),
            format(loci_private.key_template(v_source.relation, v_source.key_columns), quote_ident(v_table)),
            plan ->> 'content', coalesce(plan ->> 'context', 'null'), coalesce(plan ->> 'stored', 'null'),
            case when plan ->> 'column' is null then '' else format(', %I as loci_embedding', plan ->> 'column') end,
            v_source.relation,
            case
                when plan ->> 'column' is null then format(
                    'join %s as t on (%s) = (%s)', v_target,
                    format(loci_private.column_template(v_source.key_columns), 't'),
                    format(loci_private.column_template(v_source.key_columns), 's')
                )
                else ''
            end,
            case when plan ->> 'column' is null then v_match else ' and s.loci_embedding is not null' || v_match end
        )
    );
    perform loci_private.give_reader(format('loci_readers.%I()', v_name), v_owner);
    return v_name;
end $$;
comment on function loci_private.build_pgai_reader(integer, jsonb, jsonb) is
'Make the function that reads what pgai embedded of a table and what is still current of it; returns its name. content is null where a chunk cannot be told from what was written around it. LC273 nothing there, LC278 not readable for the table''s owner.';
revoke execute on function loci_private.build_pgai_reader(integer, jsonb, jsonb) from public;
