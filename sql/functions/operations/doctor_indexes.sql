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
        -- What REINDEX leaves behind where it was interrupted; the index itself is as it was.
        format(case when c.relname ~ '_cc(new|old)[0-9]*$' then 'drop index concurrently %s;' else 'reindex index concurrently %s;' end, i.indexrelid::regclass)
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind = 'i'
        and c.relname !~ '^embeddings_[0-9]+_hnsw$' and not (i.indisvalid and i.indisready);
    -- Words stay in it when the last text that has them is gone. New, it takes a third of the words of usual texts, and nine times those of texts that share none.
    return query
    select 'note', 'indexes', c.relname::text,
        format('%s for %s of words: most of them are of texts that are gone', pg_size_pretty(pg_relation_size(c.oid)), pg_size_pretty(w.bytes)),
        'reindex index concurrently loci_private.chunks_lexemes;'
    from pg_class as c
    cross join lateral (
        select (greatest(t.reltuples, 0) * s.avg_width)::bigint as bytes
        from pg_class as t
        join pg_stats as s on s.schemaname = 'loci_private' and s.tablename = t.relname and s.attname = 'lexemes'
        where t.oid = 'loci_private.chunks'::regclass
    ) as w
    where c.oid = to_regclass('loci_private.chunks_lexemes')
        and pg_relation_size(c.oid) > 67108864 and pg_relation_size(c.oid) > 10 * w.bytes;
end $$;
comment on function loci_private.doctor_indexes() is
'What loci.doctor() has to say about indexes that are missing, invalid or mostly full of what is gone; doctor_objects() knows those that came with the installation.';
revoke execute on function loci_private.doctor_indexes() from public;
