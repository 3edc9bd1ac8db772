-- Last of all: what loci.doctor() compares with.
delete from loci_private.installed_objects;
insert into loci_private.installed_objects (kind, object, detail, remedy)
select
    p.kind,
    p.object,
    p.detail,
    coalesce(p.restores, 'LOCI_DSN=postgresql://... .venv/bin/alembic upgrade head')
from loci_private.present_objects() as p
-- What somebody granted to roles of his own, or kept of an earlier damage, is no part of it.
where p.kind <> 'privilege' or p.detail ~ ' to loci_[a-z]+$';
