create or replace function loci_private.register_source(
    relation regclass,
    name text,
    content text,
    scope text,
    audience text,
    metadata text,
    context text,
    title text,
    mime_type text,
    chunk_tokens integer,
    chunk_overlap integer,
    on_update text,
    watched boolean
)
returns integer
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_keys text[];
    v_source integer;
    v_message text;
begin
    select array_agg(a.attname::text order by k.n) into v_keys
    from pg_index as i
    cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = relation and i.indisprimary;
    if v_keys is null then
        raise exception '% has no primary key', relation
            using errcode = 'LC245', hint = 'Add one: Loci remembers rows by their primary key.';
    end if;
    begin
        -- A table that was unwatched with its index kept takes it up again.
        update loci_private.sources as s
        set name = register_source.name, key_columns = v_keys, content = register_source.content,
            scope = register_source.scope, audience = register_source.audience, metadata = register_source.metadata,
            context = register_source.context, title = register_source.title, mime_type = register_source.mime_type,
            chunk_tokens = register_source.chunk_tokens, chunk_overlap = register_source.chunk_overlap,
            on_update = register_source.on_update, watched = register_source.watched, broken_since = null, broken_error = null
        where s.relation = register_source.relation and not s.watched
        returning s.source_id into v_source;
        if v_source is null then
            insert into loci_private.sources (
                name, relation, key_columns, content, scope, audience, metadata, context, title, mime_type,
                content_columns, place_columns, chunk_tokens, chunk_overlap, on_update, watched
            ) values (
                name, relation, v_keys, content, scope, audience, metadata, context, title, mime_type,
                '{}', '{}', chunk_tokens, chunk_overlap, on_update, watched
            )
            returning source_id into v_source;
        end if;
    -- Not looked for beforehand: somebody else may be registering it at this moment.
    exception when unique_violation then
        if exists (select from loci_private.sources as s where s.relation = register_source.relation and s.watched) then
            raise exception '% is watched already', relation
                using errcode = 'LC246', hint = format('select loci.unwatch(%L) first to change how.', relation);
        end if;
        raise exception 'there is a source "%" already', name
            using errcode = 'LC247', hint = 'Pass another name => ''...''.';
    end;
    perform loci_private.plan_chunkings();
    perform loci_private.build_source_readers(v_source);
    begin
        perform loci_private.probe_source(v_source);
        perform loci_private.read_rows(v_source, '{}');
    exception when others then
        get stacked diagnostics v_message = message_text;
        raise exception 'an expression does not fit the rows of %', relation
            using errcode = 'LC248', detail = v_message,
            hint = 'content, context, title, mime_type: text; scope: uuid; audience: uuid[]; metadata: jsonb; each over the columns of one row.';
    end;
    return v_source;
end $$;
comment on function loci_private.register_source(
    regclass, text, text, text, text, text, text, text, text, integer, integer, text, boolean
) is
'Note how the rows of a table are read, and make the functions that do; returns the source id. Triggers are made by loci.watch(). LC245 to LC248.';
revoke execute on function loci_private.register_source(
    regclass, text, text, text, text, text, text, text, text, integer, integer, text, boolean
) from public;
