create or replace function loci.adopt_pgai_vectorizer(
    vectorizer_id integer,
    scope text,
    audience text default null,
    metadata text default null,
    title text default null,
    name text default null,
    model text default null,
    gateway text default 'default',
    on_update text default 'serve_old'
)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_vectorizer jsonb;
    v_plan jsonb;
    v_table text;
    v_relation regclass;
    v_model loci.embedding_models;
    v_dimensions integer;
    v_source integer;
    v_reader text;
    v_id integer;
    v_rows bigint;
    v_chunks bigint;
    v_queued bigint;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a vectorizer is taken over under READ COMMITTED only'
            using errcode = 'LC279', detail = format('This transaction is %s.', upper(current_setting('transaction_isolation'))),
            hint = 'Changes made meanwhile would be missed. Call this as a statement of its own.';
    end if;
    v_vectorizer := loci_private.read_pgai_vectorizer(vectorizer_id);
    v_table := format('%I.%I', v_vectorizer ->> 'source_schema', v_vectorizer ->> 'source_table');
    v_relation := to_regclass(v_table);
    if v_relation is null then
        raise exception 'the table of this vectorizer is gone'
            using errcode = 'LC273', detail = format('There is no table %s.', v_table),
            hint = 'select ai.drop_vectorizer() for it; there is nothing to take over.';
    end if;
    perform loci_private.require_owner(v_relation);
    if exists (select from loci_private.sources as s where s.relation = v_relation) then
        raise exception '% is known to Loci already', v_relation
            using errcode = 'LC276', detail = 'It is watched, or was and kept its index; or this vectorizer has been taken over.',
            hint = format('To start again: select loci.unwatch(%L); one that kept its index has to be watched for that.', v_relation);
    end if;
    v_plan := loci_private.plan_pgai_vectorizer(
        v_vectorizer,
        (
            select jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
            from pg_attribute as a
            where a.attrelid = v_relation and a.attnum > 0 and not a.attisdropped
        )
    );

    -- A source that is not watched yet: nothing locks the table while its chunks are copied.
    v_source := loci_private.register_source(
        v_relation, format('pgai vectorizer %s', vectorizer_id), v_plan ->> 'content', coalesce(scope, ''), audience, metadata,
        v_plan ->> 'context', title, null, (v_plan ->> 'chunk_tokens')::integer, (v_plan ->> 'chunk_overlap')::integer,
        'serve_old', watched => false
    );
    v_reader := loci_private.build_pgai_reader(v_source, v_vectorizer, v_plan);

    select nullif(a.atttypmod, -1) into v_dimensions
    from pg_attribute as a
    where a.attrelid = case when v_plan ->> 'column' is null then to_regclass(v_plan ->> 'target') else v_relation end
        and a.attname = coalesce(v_plan ->> 'column', 'embedding');
    v_dimensions := coalesce(v_dimensions, (v_plan ->> 'dimensions')::integer);
    model := coalesce(model, v_plan ->> 'model');
    if not exists (select from loci.embedding_models as m where m.name = model) then
        perform loci.add_embedding_model(model, dimensions => v_dimensions, gateway => gateway);
    end if;
    v_model := loci_private.model_named(model);
    if v_model.dimensions <> v_dimensions then
        raise exception 'the vectors of this vectorizer do not fit the model "%"', model
            using errcode = 'LC274', detail = format('They have %s dimensions, the model has %s.', v_dimensions, v_model.dimensions),
            hint = 'Pass model => ''...'' with another name: a model that does not exist is added.';
    end if;
    select c.row_count, c.chunk_count into v_rows, v_chunks
    from loci_private.adopt_chunks(v_source, v_model.model_id, v_reader, (v_plan ->> 'verbatim')::boolean) as c;
    execute format('drop function loci_readers.%I()', v_reader);

    perform loci.watch(
        v_relation, v_plan ->> 'content', scope, audience, metadata, v_plan ->> 'context', name,
        (v_plan ->> 'chunk_tokens')::integer, (v_plan ->> 'chunk_overlap')::integer, on_update, false, title
    );
    -- It cannot know that these rows are known; whatever changed before its triggers were there is found by comparing.
    delete from loci_private.row_queue as q where q.source_id = v_source and q.op = 'resync';
    insert into loci_private.row_queue (source_id, key, op)
    select r.source_id, r.key, 'place'
    from loci_private.source_rows as r
    left join loci_private.read_rows(
        v_source, (select array_agg(k.key) from loci_private.source_rows as k where k.source_id = v_source)
    ) as n on n.key = r.key
    where r.source_id = v_source and n.fingerprint is distinct from r.fingerprint;
    -- Chunks were copied as they are: those of organizations that want something redacted are split anew.
    perform loci_private.enqueue_unredacted();
    v_queued := loci_private.enqueue_source(v_source, only_missing => true);
    for v_id in select m.model_id from loci.embedding_models as m loop
        perform loci_private.enqueue_missing(v_id, v_source);
    end loop;
    perform loci_private.activate_complete();

    raise notice 'taken over from pgai: % chunks of % rows of %; % rows wait for the drain', v_chunks, v_rows, v_relation, v_queued
        using detail = array_to_string(array(select jsonb_array_elements_text(v_plan -> 'remarks')), E'\n'),
        hint = format(
            'The vectorizer still runs. When you are content: select ai.drop_vectorizer(%s, drop_all => true);', vectorizer_id
        );
    return v_source;
end $$;
comment on function loci.adopt_pgai_vectorizer(integer, text, text, text, text, text, text, text, text) is
'Watch the table of a pgai vectorizer, with its chunking, template and model, and take over the chunks and vectors that it made; returns the source id. scope, audience, metadata, title: as in loci.watch(), pgai has nothing like them. model: which Loci model the vectors are of, added if there is none; by default called as pgai calls it. Needs role loci_admin and the rights of the table''s owner. LC243, LC248, LC271 to LC279.';
revoke execute on function loci.adopt_pgai_vectorizer(integer, text, text, text, text, text, text, text, text) from public;
grant execute on function loci.adopt_pgai_vectorizer(integer, text, text, text, text, text, text, text, text) to loci_admin;
