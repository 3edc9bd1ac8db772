create or replace function loci_private.note_erasure(kind text, source text, by_administrator boolean, report jsonb)
returns void
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    select loci_private.log_event('erasure', jsonb_build_object(
        'kind', note_erasure.kind, 'source', note_erasure.source, 'by_administrator', note_erasure.by_administrator
    ));
    insert into loci_private.erasures (erased_at, kind, source, by_administrator, report)
    values (loci_private.now(), note_erasure.kind, note_erasure.source, note_erasure.by_administrator, note_erasure.report)
$$;
comment on function loci_private.note_erasure(text, text, boolean, jsonb) is 'Keep for the record that something was erased, and how much.';
revoke execute on function loci_private.note_erasure(text, text, boolean, jsonb) from public;
