create or replace function loci_private.verify_token(
    token text, key_ref text, algorithms text, audience text, issuer text, leeway_seconds integer, at timestamptz
)
returns jsonb
language plpython3u volatile parallel unsafe
-- The time reaches Python as text.
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
from loci_udfs import identity
return identity.verify_token(plpy, token, key_ref, algorithms, audience, issuer, leeway_seconds, at)
$$;
comment on function loci_private.verify_token(text, text, text, text, text, integer, timestamptz) is
'Claims of a verified JSON Web Token; LC110 to LC121 otherwise.';
revoke execute on function loci_private.verify_token(text, text, text, text, text, integer, timestamptz) from public;
