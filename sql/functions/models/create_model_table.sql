create or replace function loci_private.create_model_table(model_id integer, dimensions integer)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_table text := loci_private.model_table(model_id);
begin
    execute format(
        'create table if not exists loci_private.%I (
            chunk_id bigint not null primary key,
            row_id bigint not null,
            source_id integer not null,
            chunking_id integer not null,
            organization_id uuid,
            scope_id uuid not null,
            audience uuid[],
            embedding public.halfvec(%s) not null,
            created_at timestamptz not null
        )', v_table, dimensions
    );
    -- A vector is read whole and often: keep it in the page where it fits.
    if dimensions * 2 <= 7500 then
        execute format('alter table loci_private.%I alter column embedding set storage plain', v_table);
    end if;
    execute format('create index if not exists %I on loci_private.%I (scope_id, source_id)', v_table || '_scope_id_source_id_idx', v_table);
    execute format('create index if not exists %I on loci_private.%I (row_id)', v_table || '_row_id_idx', v_table);
    execute format('alter table loci_private.%I owner to loci_owner', v_table);
end $$;
comment on function loci_private.create_model_table(integer, integer) is 'Make the table of one model''s vectors. Its HNSW index comes later: see loci.model_indexes.';
revoke execute on function loci_private.create_model_table(integer, integer) from public;
