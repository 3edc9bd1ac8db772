create or replace function loci_private.note_stage(stage text, began timestamptz)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.note_observations(
        array['rag_latency_ms'], jsonb_build_object('stage', note_stage.stage),
        array[extract(epoch from loci_private.now() - note_stage.began) * 1000]::double precision[]
    );
end $$;
comment on function loci_private.note_stage(text, timestamptz) is 'How long a stage of an answer took.';
revoke execute on function loci_private.note_stage(text, timestamptz) from public;
