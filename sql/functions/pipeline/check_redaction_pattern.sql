create or replace function loci_private.check_redaction_pattern(name text, kind text, pattern text, checksum text)
returns void
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import redact
redact.check_pattern(plpy, name, kind, pattern, checksum)
$$;
comment on function loci_private.check_redaction_pattern(text, text, text, text) is
'Refuse a pattern that cannot be used or could take for ever (LC281), or whose check does not exist (LC282).';
revoke execute on function loci_private.check_redaction_pattern(text, text, text, text) from public;
