create or replace function loci_private.key_problem(reference text)
returns text
language plpython3u volatile parallel unsafe
as $$
from loci_udfs.errors import LociError
from loci_udfs.keys import resolve_key
try:
    resolve_key(reference)
except LociError as error:
    return error.detail or str(error)
return None
$$;
comment on function loci_private.key_problem(text) is
'Why there is no key behind a reference; null when there is one. The key itself is never returned.';
revoke execute on function loci_private.key_problem(text) from public;
