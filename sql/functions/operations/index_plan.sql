create or replace function loci_private.index_plan()
returns table (
    model_id integer, model text, state text, vectors bigint, waiting bigint, phase text, percent numeric, bytes bigint,
    statement text
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_model loci.embedding_models;
    v_table text;
    v_relation oid;
    v_threshold bigint := loci.setting('index_threshold')::bigint;
    v_index record;
    v_build record;
begin
    for v_model in select m.* from loci.embedding_models as m order by m.model_id loop
        model_id := v_model.model_id;
        model := v_model.name;
        v_table := loci_private.model_table(v_model.model_id);
        v_relation := to_regclass(format('loci_private.%I', v_table));
        if v_relation is null then
            state := 'missing';
            vectors := 0;
            waiting := 0;
            phase := null;
            percent := null;
            bytes := null;
            statement := null;
            return next;
            continue;
        end if;
        -- A drain works through rows and chunks by turns, so both tell how far it is.
        select (select count(*) from loci_private.embed_queue as q where q.model_id = v_model.model_id)
            + (select count(*) from loci_private.row_queue as q where q.op = 'upsert')
        into waiting;
        select i.indisvalid as valid, pg_relation_size(i.indexrelid) as bytes into v_index
        from pg_index as i
        join pg_class as c on c.oid = i.indexrelid
        where i.indrelid = v_relation and c.relname = v_table || '_hnsw';
        select b.* into v_build from loci_private.index_builds() as b where b.relation = v_relation limit 1;
        phase := v_build.phase;
        percent := v_build.percent;
        bytes := v_index.bytes;
        if coalesce(v_index.valid, false) then
            select greatest(c.reltuples, 0) into vectors from pg_class as c where c.oid = v_relation;
        else
            execute format('select count(*) from loci_private.%I', v_table) into vectors;
        end if;
        statement := null;
        if v_build.relation is not null then
            state := 'building';
        elsif v_index.valid then
            state := 'ready';
        elsif v_index.valid = false then
            -- A build that was interrupted leaves an index that costs and serves nobody.
            state := 'invalid';
            statement := format('DROP INDEX CONCURRENTLY IF EXISTS loci_private.%I', v_table || '_hnsw');
        elsif vectors < v_threshold or vectors = 0 then
            state := 'not needed';
        elsif waiting > greatest(1000, vectors / 10) then
            state := 'waiting';
        else
            state := 'due';
            statement := format(
                'CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON loci_private.%I USING hnsw (%s %s) WITH (m = 16, ef_construction = 64)',
                v_table || '_hnsw', v_table, loci_private.indexed_sql(v_model.model_id, ''),
                case v_model.quantization when 'binary' then 'public.bit_hamming_ops' else 'public.halfvec_cosine_ops' end
            );
        end if;
        return next;
    end loop;
end $$;
comment on function loci_private.index_plan() is
'The HNSW index of each model: its state, and the statement that brings it further, if one is needed.';
revoke execute on function loci_private.index_plan() from public;
grant execute on function loci_private.index_plan() to loci_owner, loci_admin, loci_monitor;
