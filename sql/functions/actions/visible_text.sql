create or replace function loci_private.visible_text(text text)
returns text
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import actions
return actions.visible_text(plpy, text)
$$;
comment on function loci_private.visible_text(text) is 'A text without the characters that nobody would see in it.';
revoke execute on function loci_private.visible_text(text) from public;
