create or replace function loci_private.convert_file(
    filename text,
    bytes bytea,
    limits jsonb,
    out content text,
    out mime_type text,
    out title text,
    out metadata jsonb
)
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import ingest
return ingest.convert_file(plpy, filename, bytes, limits)
$$;
comment on function loci_private.convert_file(text, bytea, jsonb) is
'The text of a file: PDF, DOCX, HTML, Markdown or plain text. LC260 to LC269 for files that cannot be read.';
revoke execute on function loci_private.convert_file(text, bytea, jsonb) from public;
