create or replace function loci_private.doctor_indexes()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select 'error', 'indexes', m.name, 'the table of its vectors is not there',
        format(e'select loci_private.create_model_table(%s, %s);\nselect loci.reconcile();', m.model_id, m.dimensions)
    from loci.embedding_models as m
    where to_regclass(format('loci_private.%I', loci_private.model_table(m.model_id))) is null;
    -- What is due is built within minutes where the job runs; doctor_jobs() says whether it does.
    return query
    select case when p.state = 'invalid' then 'warning' else 'note' end, 'indexes', loci_private.model_table(p.model_id) || '_hnsw',
        case when p.state = 'invalid' then 'its build was interrupted: it costs, and no search uses it'
            else format('%s vectors and no index: searches compare all that are visible', p.vectors) end,
        p.statement || ';'
    from loci_private.index_plan() as p
    where p.state = 'invalid' or p.state = 'due';
    return query
    select 'error', 'indexes', c.relname::text, format('it is invalid: no query of %s uses it', i.indrelid::regclass),
        format('reindex index concurrently %s;', i.indexrelid::regclass)
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind = 'i'
        and c.relname !~ '^embeddings_[0-9]+_hnsw$' and not (i.indisvalid and i.indisready);
end $$;
comment on function loci_private.doctor_indexes() is 'What loci.doctor() has to say about indexes that are missing or invalid; doctor_objects() knows those that came with the installation.';
revoke execute on function loci_private.doctor_indexes() from public;
