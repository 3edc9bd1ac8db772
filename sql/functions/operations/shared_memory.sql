create or replace function loci_private.shared_memory()
returns bigint
language plpython3u volatile parallel unsafe
as $$
import os
try:
    found = os.statvfs("/dev/shm")
except OSError:
    return None
return found.f_bavail * found.f_frsize
$$;
comment on function loci_private.shared_memory() is 'Free bytes in /dev/shm, where parallel index builds keep their graph; null where there is none.';
revoke execute on function loci_private.shared_memory() from public;
