create or replace function loci_private.note_search(began timestamptz, results integer, similarities real [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.note_observations(
        array['vector_search_latency_ms', 'vector_search_results', 'vector_search_similarity'], '{}',
        array[
            extract(epoch from loci_private.now() - note_search.began) * 1000, note_search.results,
            (select avg(s) from unnest(note_search.similarities) as s)
        ]::double precision[]
    );
end $$;
comment on function loci_private.note_search(timestamptz, integer, real []) is 'How long a search took, and what it found.';
revoke execute on function loci_private.note_search(timestamptz, integer, real []) from public;
