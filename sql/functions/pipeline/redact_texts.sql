create or replace function loci_private.redact_texts(texts text [], patterns jsonb)
returns text []
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import redact
return redact.redact_texts(plpy, texts, patterns)
$$;
comment on function loci_private.redact_texts(text [], jsonb) is
'Texts with placeholders for what the patterns of loci_private.redaction_of() match.';
revoke execute on function loci_private.redact_texts(text [], jsonb) from public;
