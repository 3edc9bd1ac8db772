create or replace function loci_private.read_pgai_vectorizer(vectorizer_id integer)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read boolean := false;
    v_catalogue regclass := to_regclass('ai.vectorizer');
    v_reader constant text := 'pgai_vectorizers';
    v_all jsonb[];
    v_vectorizer jsonb;
    v_known text;
begin
    if v_catalogue is null then
        raise exception 'there is no pgai in this database'
            using errcode = 'LC271', detail = 'There is no table ai.vectorizer.',
            hint = 'Call this in the database that pgai was installed in.';
    end if;
    if not has_table_privilege(loci_private.caller(), v_catalogue, 'select') then
        raise exception 'pgai''s catalogue is out of your reach'
            using errcode = 'LC278', detail = 'You may not read ai.vectorizer.',
            hint = format('grant select on ai.vectorizer to %I;', loci_private.caller());
    end if;
    -- Whoever owns the catalogue could put anything in its place: it is read with no more than the owner's rights.
    execute format(
        'create or replace function loci_readers.%I() returns setof jsonb language sql stable
        security definer set search_path = pg_catalog, pg_temp as %L',
        v_reader, format('select to_jsonb(v) from %s as v', v_catalogue)
    );
    perform loci_private.give_reader(
        format('loci_readers.%I()', v_reader),
        (select pg_get_userbyid(c.relowner) from pg_class as c where c.oid = v_catalogue)
    );
    -- See loci_private.read_rows: what the owner's code leaves behind is undone.
    begin
        execute format('select array_agg(v order by v) from loci_readers.%I() as v', v_reader) into v_all;
        v_read := true;
        raise exception 'undo';
    exception when raise_exception then
        if not v_read then
            raise;
        end if;
    end;
    execute format('drop function loci_readers.%I()', v_reader);
    select v.v into v_vectorizer
    from unnest(v_all) as v (v)
    where v.v @> jsonb_build_object('id', read_pgai_vectorizer.vectorizer_id);
    select string_agg(format('%s (%s)', v.v ->> 'id', concat_ws('.', v.v ->> 'source_schema', v.v ->> 'source_table')), ', ')
    into v_known
    from unnest(v_all) as v (v);
    if v_vectorizer is null then
        raise exception 'there is no pgai vectorizer %', coalesce(read_pgai_vectorizer.vectorizer_id::text, 'null')
            using errcode = 'LC272', detail = coalesce('There are: ' || v_known || '.', 'There are none.'),
            hint = 'select id, name, source_schema, source_table from ai.vectorizer lists them.';
    end if;
    return v_vectorizer;
end $$;
comment on function loci_private.read_pgai_vectorizer(integer) is
'A row of pgai''s catalogue. LC271 no pgai here, LC272 no such vectorizer, LC278 not readable for the caller.';
revoke execute on function loci_private.read_pgai_vectorizer(integer) from public;
