"""Who may touch what, whole: privileges.txt is reviewed line by line when it changes.

LOCI_UPDATE=1 writes it anew.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from tests.database import Database

MATRIX = Path(__file__).with_name("privileges.txt")

# Rights that were granted, to whomever; an owner's own say nothing. Columns only where they differ from their table.
_GRANTS = """
with objects as (
    select 'schema ' || n.nspname as object, n.nspowner as owner, coalesce(n.nspacl, acldefault('n', n.nspowner)) as acl
    from pg_namespace as n
    where n.nspname ~ '^loci(_|$)'
    union all
    select case c.relkind when 'v' then 'view ' when 'S' then 'sequence ' else 'table ' end || n.nspname || '.' || c.relname,
        c.relowner, coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname ~ '^loci(_|$)' and c.relkind in ('r', 'p', 'v', 'm', 'S')
    union all
    select 'column ' || n.nspname || '.' || c.relname || '.' || a.attname, c.relowner, a.attacl
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname ~ '^loci(_|$)' and a.attacl is not null and not a.attisdropped
    union all
    select case p.prokind when 'p' then 'procedure ' else 'function ' end || n.nspname || '.' || p.proname, p.proowner,
        coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
    where n.nspname ~ '^loci(_|$)'
)
select o.object, case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as role,
    string_agg(distinct lower(g.privilege_type) || case when g.is_grantable then ' (grantable)' else '' end, ', ') as rights
from objects as o
cross join lateral aclexplode(o.acl) as g
where g.grantee <> o.owner
group by 1, 2
union all
select 'role ' || m.roleid::regrole::text, m.member::regrole::text,
    'member' || case when m.admin_option then ' (grantable)' else '' end
from pg_auth_members as m
where m.roleid::regrole::text ~ '^loci_' and m.member::regrole::text ~ '^loci_'
union all
select 'role ' || r.rolname, 'itself', concat_ws(
    ', ', case when r.rolcanlogin then 'login' else 'nologin' end, case when r.rolsuper then 'superuser' end,
    case when r.rolcreaterole then 'createrole' end, case when r.rolcreatedb then 'createdb' end,
    case when r.rolbypassrls then 'bypassrls' end, case when r.rolreplication then 'replication' end
)
from pg_roles as r
where r.rolname ~ '^loci_'
"""


def matrix(database: Database) -> str:
    lines = set()
    for row in database.rows(_GRANTS):
        # Every watched table and every model has objects of its own, all alike.
        name = re.sub(r"\.(source|embeddings)_\d+", r".\1_N", row["object"])
        lines.add(f"{row['role']:<13} {name:<54} {row['rights']}")
    return "\n".join(sorted(lines)) + "\n"


def test_the_matrix_of_rights(db: Database) -> None:
    found = matrix(db)
    if os.environ.get("LOCI_UPDATE") == "1":
        MATRIX.write_text(found)
    committed = MATRIX.read_text()
    difference = "\n".join(
        difflib.unified_diff(
            committed.splitlines(), found.splitlines(), "privileges.txt", "the database", lineterm="", n=0
        )
    )
    assert not difference, f"{difference}\nReview it, then LOCI_UPDATE=1 pytest tests/catalogue/test_privileges.py"
