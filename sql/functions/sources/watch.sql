create or replace function loci.watch(
    relation regclass,
    content text,
    scope text,
    audience text default null,
    metadata text default null,
    context text default null,
    name text default null,
    chunk_tokens integer default 400,
    chunk_overlap integer default 50,
    on_update text default 'serve_old',
    backfill boolean default true,
    title text default null,
    mime_type text default null
)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_kind "char";
    v_schema text;
    v_table text;
    v_persistence "char";
    v_source integer;
begin
    select c.relkind, n.nspname, c.relname, c.relpersistence
    into v_kind, v_schema, v_table, v_persistence
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = relation;
    if v_kind is null then
        raise exception 'there is no such table' using errcode = 'LC240', hint = 'Pass the table as ''schema.name''::regclass.';
    end if;
    perform loci_private.require_owner(relation);
    if v_kind not in ('r', 'p') or v_persistence = 't' or v_schema in ('pg_catalog', 'information_schema')
        or (v_schema = 'loci_private' and v_table <> 'memories')
    then
        raise exception '% cannot be watched', relation
            using errcode = 'LC241', detail = 'It is not an ordinary or partitioned table.',
            hint = 'Watch the table that a view or foreign table reads from.';
    end if;
    if content is null or btrim(content) = '' or scope is null or btrim(scope) = '' then
        raise exception 'watch() needs content and scope'
            using errcode = 'LC242',
            hint = 'Both are column names or SQL expressions over a row: content => ''body'', scope => ''project_id''.';
    end if;
    if chunk_tokens is null or chunk_tokens not between 100 and 2000
        or chunk_overlap is null or chunk_overlap not between 0 and chunk_tokens / 2
    then
        raise exception 'chunks of % tokens with % overlap are out of range', chunk_tokens, chunk_overlap
            using errcode = 'LC202', hint = 'chunk_tokens: 100 to 2000; chunk_overlap: 0 to half of it.';
    end if;
    if on_update is null or on_update not in ('serve_old', 'hide') then
        raise exception 'there is no on_update "%"', on_update
            using errcode = 'LC244', hint = 'serve_old: found by its old text until the drain has run; hide: not found until then.';
    end if;
    name := coalesce(name, case when v_schema in ('public', 'loci') then v_table else v_schema || '.' || v_table end);
    v_source := loci_private.register_source(
        relation, name, content, scope, audience, metadata, context, title, mime_type, chunk_tokens, chunk_overlap, on_update,
        watched => true
    );
    -- Nobody knows what happened to its rows meanwhile: each is hidden until it has been looked at.
    insert into loci_private.row_queue (source_id, key, op)
    select v_source, '', 'resync'
    where exists (select from loci_private.source_rows as r where r.source_id = v_source);
    perform loci_private.build_source_triggers(v_source);
    if backfill then
        perform loci_private.enqueue_source(v_source);
    end if;
    return v_source;
end $$;
comment on function loci.watch(regclass, text, text, text, text, text, text, integer, integer, text, boolean, text, text) is
'Make the rows of a table searchable, now and from now on; returns the source id. content, scope, audience, metadata, context, title, mime_type: column names or SQL expressions over a row. Needs role loci_admin and the rights of the table''s owner. LC240 to LC248, LC292.';
revoke execute on function loci.watch(
    regclass, text, text, text, text, text, text, integer, integer, text, boolean, text, text
) from public;
grant execute on function loci.watch(
    regclass, text, text, text, text, text, text, integer, integer, text, boolean, text, text
) to loci_admin;
