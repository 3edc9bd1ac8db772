create or replace function loci_private.python_version()
returns text
language plpython3u volatile parallel unsafe
as $$
try:
    from loci_udfs import __version__
    return __version__
except ImportError:
    return None
$$;
comment on function loci_private.python_version() is
'Version of the Python package loci_udfs that this server imports; null when it cannot.';
revoke execute on function loci_private.python_version() from public;
