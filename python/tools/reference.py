"""`make docs`: writes docs/reference.md from the catalogue of a migrated database; --check only compares."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]

PATH = Path(__file__).resolve().parent.parent.parent / "docs" / "reference.md"

_FUNCTIONS = """
select p.proname as name, p.prokind = 'p' as is_procedure, p.provolatile as volatility,
    pg_catalog.pg_get_function_arguments(p.oid) as arguments,
    pg_catalog.pg_get_function_identity_arguments(p.oid) as identity_arguments,
    pg_catalog.pg_get_function_result(p.oid) as result,
    pg_catalog.obj_description(p.oid, 'pg_proc') as comment,
    array(
        select r.rolname from pg_catalog.pg_roles as r
        where r.rolname in ('loci_app', 'loci_proposer', 'loci_approver', 'loci_admin', 'loci_worker', 'loci_monitor')
            and exists (
                select from pg_catalog.aclexplode(p.proacl) as a
                where a.grantee = r.oid and a.privilege_type = 'EXECUTE'
            )
        order by array_position(
            array['loci_app', 'loci_proposer', 'loci_approver', 'loci_admin', 'loci_worker', 'loci_monitor'], r.rolname::text
        )
    )::text[] as granted
from pg_catalog.pg_proc as p
where p.pronamespace = 'loci'::regnamespace and p.prorettype <> 'trigger'::regtype
order by p.proname collate "C", pg_catalog.pg_get_function_identity_arguments(p.oid) collate "C"
"""

_RELATIONS = """
select c.oid, c.relname as name, c.relkind in ('v', 'm') as is_view,
    pg_catalog.obj_description(c.oid, 'pg_class') as comment
from pg_catalog.pg_class as c
where c.relnamespace = 'loci'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
order by c.relname collate "C"
"""

_COLUMNS = """
select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as is_required,
    case
        when a.attidentity <> '' then 'identity'
        else pg_catalog.pg_get_expr(d.adbin, d.adrelid)
    end as default_value,
    pg_catalog.col_description(a.attrelid, a.attnum) as comment,
    array(
        select distinct f.confrelid::regclass::text from pg_catalog.pg_constraint as f
        where f.conrelid = a.attrelid and f.contype = 'f' and a.attnum = any(f.conkey)
            and f.confrelid::regclass::text like 'loci.%%'
        order by 1
    )::text[] as refers_to
from pg_catalog.pg_attribute as a
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

_CHECKS = """
select pg_catalog.pg_get_constraintdef(k.oid) as definition
from pg_catalog.pg_constraint as k
where k.conrelid = %s and k.contype in ('p', 'u')
order by k.contype, k.conname collate "C"
"""

# Rights on a whole relation, and those on some columns of it.
_RIGHTS = """
select r.rolname as role, string_agg(g.what, ', ' order by g.place, g.what) as rights
from (
    select a.grantee, lower(a.privilege_type) as what,
        array_position(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'], a.privilege_type)
            as place
    from pg_catalog.pg_class as c cross join lateral pg_catalog.aclexplode(c.relacl) as a
    where c.oid = %(relation)s
    union all
    select x.grantee,
        format('%%s (%%s)', lower(x.privilege_type), string_agg(x.attname::text, ', ' order by x.attnum)), 10
    from (
        select a.grantee, a.privilege_type, t.attname, t.attnum
        from pg_catalog.pg_attribute as t cross join lateral pg_catalog.aclexplode(t.attacl) as a
        where t.attrelid = %(relation)s
    ) as x
    group by x.grantee, x.privilege_type
) as g
join pg_catalog.pg_roles as r on r.oid = g.grantee
where r.rolname in ('loci_app', 'loci_proposer', 'loci_approver', 'loci_admin', 'loci_worker', 'loci_monitor')
group by r.rolname
order by array_position(array['loci_app', 'loci_proposer', 'loci_approver', 'loci_admin', 'loci_worker', 'loci_monitor'], r.rolname::text)
"""

_SETTINGS = """
select name, kind, default_value, minimum, maximum, description from loci.settings order by name collate "C"
"""

_MEMBERS = """
select r.rolname as role, g.rolname as granted
from pg_catalog.pg_auth_members as m
join pg_catalog.pg_roles as r on r.oid = m.member
join pg_catalog.pg_roles as g on g.oid = m.roleid
where r.rolname in ('loci_owner', 'loci_app', 'loci_proposer', 'loci_approver', 'loci_admin', 'loci_worker', 'loci_monitor')
    and g.rolname in ('loci_owner', 'loci_app', 'loci_proposer', 'loci_approver', 'loci_admin', 'loci_worker', 'loci_monitor')
order by 1, 2
"""

_ROLES = {
    "loci_app": "Granted to the login roles of applications. Acts for one user at a time and sees what that user may see.",
    "loci_proposer": "With `loci_app`, for logins that run in the name of a model: may propose actions, and never decides about any.",
    "loci_approver": "With `loci_app`, for logins through which users decide: may confirm and reject proposals.",
    "loci_admin": "Configures: people, organizations, models, settings, watched tables. Sees every row of the tables in `loci`.",
    "loci_worker": "Runs the jobs: `loci.drain()` and `loci.reconcile()`. Has no right on any table.",
    "loci_monitor": "Reads the views and `loci.status()`. Sees counts and names, and the keys and error texts in `loci.failures`.",
    "loci_owner": "Owns the tables and most functions. Nobody logs in as it and nobody needs it granted.",
}

_VOLATILITY = {"i": "immutable", "s": "stable", "v": "volatile"}


def generate(connection: Connection) -> str:
    """The whole reference, the same for the same catalogue."""
    # Types and names are written out in full unless they are on the search path.
    connection.execute("set search_path = pg_catalog, public")
    parts = [
        "# SQL reference\n",
        "<!-- Generated by `make docs` from the catalogue. Change the comments in sql/, not this file. -->\n",
        "Everything here is in schema `loci`. `\\df+ loci.*` in psql shows the same functions and comments.\n",
        "- [Functions](#functions)\n- [Views](#views)\n- [Tables](#tables)\n- [Settings](#settings)\n- [Roles](#roles)\n",
        *_functions(connection),
        *_relations(connection),
        *_settings(connection),
        *_roles(connection),
    ]
    return "\n".join(parts)


def _functions(connection: Connection) -> list[str]:
    parts = [
        "## Functions\n",
        "Call them with named arguments: `loci.search('...', k => 10)`. Whoever is not named under a function cannot "
        "execute it; PUBLIC can execute none. Codes such as LC300 are explained in [errors.md](errors.md).\n",
    ]
    for row in connection.execute(_FUNCTIONS):
        call = f"{'call ' if row['is_procedure'] else ''}loci.{row['name']}"
        arguments = _split(row["arguments"])
        signature = f"{call}({', '.join(arguments)})"
        if len(signature) > 90:
            signature = f"{call}(\n    " + ",\n    ".join(arguments) + "\n)"
        if row["result"]:
            result = _result(row["result"])
            wide = "\n" not in signature and len(signature) + len(result.partition("\n")[0]) > 96
            signature += ("\n-> " if wide else " -> ") + result
        kind = "procedure" if row["is_procedure"] else _VOLATILITY[row["volatility"]]
        granted = ", ".join(f"`{role}`" for role in row["granted"]) or "superusers only"
        parts += [f"### {row['name']}\n", f"```text\n{signature}\n```\n", f"{row['comment'] or ''}\n"]
        parts += [f"Executable by: {granted}. Kind: {kind}.\n"]
    return parts


def _split(arguments: str) -> list[str]:
    """Arguments apart: at commas outside parentheses, brackets and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, char in enumerate(arguments):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "([":
            depth += 1
        elif not quoted and char in ")]":
            depth -= 1
        elif not quoted and depth == 0 and char == ",":
            parts.append(arguments[start:position].strip())
            start = position + 1
    parts.append(arguments[start:].strip())
    return [_shorten(part) for part in parts if part]


_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "float8", "character varying": "varchar"}


def _shorten(text: str) -> str:
    """Shorter names of types, and defaults without a cast that says nothing new."""
    for long, short in _TYPES.items():
        text = text.replace(long, short)
    text = re.sub(r"::(text|jsonb|[a-z0-9]+\[\]|public\.\w+)(?=$|,|\))", "", text).replace("DEFAULT", "default")
    text = re.sub(r"default NULL(::\w+)?", "default null", text)
    return text.removeprefix("IN ")


def _result(result: str) -> str:
    table = re.fullmatch(r"TABLE\((.*)\)", result, re.DOTALL)
    if table:
        columns = _split(table[1])
        if len(columns) > 4:
            return "table (\n    " + ",\n    ".join(columns) + "\n)"
        return f"table ({', '.join(columns)})"
    return _shorten(result.replace("SETOF ", "setof "))


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


def _rights(connection: Connection, relation: int) -> str:
    rights = connection.execute(_RIGHTS, {"relation": relation}).fetchall()
    return "; ".join(f"`{row['role']}` {row['rights']}" for row in rights) or "nobody"


def _relations(connection: Connection) -> list[str]:
    relations = connection.execute(_RELATIONS).fetchall()
    parts = ["## Views\n"]
    for view in (row for row in relations if row["is_view"]):
        parts += [f"### {view['name']}\n"]
        if view["comment"]:
            parts += [f"{view['comment']}\n"]
        columns = connection.execute(_COLUMNS, (view["oid"],)).fetchall()
        parts += ["Columns: " + ", ".join(f"`{c['name']}` {_shorten(c['type'])}" for c in columns) + ".\n"]
        parts += [f"Rights: {_rights(connection, view['oid'])}.\n"]
    parts += [
        "## Tables\n",
        "Row-level security is on for all of them. The rights say which statements a role may use; the policies say "
        "on which rows: see [security.md](security.md).\n",
    ]
    for table in (row for row in relations if not row["is_view"]):
        parts += [f"### {table['name']}\n"]
        if table["comment"]:
            parts += [f"{table['comment']}\n"]
        columns = connection.execute(_COLUMNS, (table["oid"],)).fetchall()
        described = any(column["comment"] for column in columns)
        lines = ["| column | type | default | refers to |" + (" meaning |" if described else "")]
        lines += ["| --- | --- | --- | --- |" + (" --- |" if described else "")]
        for column in columns:
            type_name = _shorten(column["type"]) + (" not null" if column["is_required"] else "")
            cells = [f"`{column['name']}`", type_name, _cell(_shorten(column["default_value"] or ""))]
            cells += [", ".join(f"`{name.removeprefix('loci.')}`" for name in column["refers_to"])]
            cells += [_cell(column["comment"])] if described else []
            lines += ["| " + " | ".join(cells) + " |"]
        keys = [row["definition"] for row in connection.execute(_CHECKS, (table["oid"],))]
        parts += ["\n".join(lines) + "\n"]
        parts += [f"Keys: {'; '.join(f'{key[0].lower()}{key[1:]}' for key in map(_key, keys))}.\n"] if keys else []
        parts += [f"Rights: {_rights(connection, table['oid'])}.\n"]
    return parts


def _key(definition: str) -> str:
    return definition.replace("PRIMARY KEY", "primary key").replace("UNIQUE", "unique")


def _settings(connection: Connection) -> list[str]:
    lines = ["| name | default | takes | meaning |", "| --- | --- | --- | --- |"]
    for row in connection.execute(_SETTINGS):
        takes = row["kind"]
        if row["minimum"] is not None and row["maximum"] is not None:
            takes += f", {row['minimum']} to {row['maximum']}"
        default = "none" if row["default_value"] is None else f"`{row['default_value']}`"
        lines += [f"| `{row['name']}` | {default} | {takes} | {_cell(row['description'])} |"]
    return [
        "## Settings\n",
        "Rows of `loci.settings`. `loci_admin` changes the column `value`; null means the default. "
        "`loci.setting(name)` gives the value in force.\n",
        "\n".join(lines) + "\n",
    ]


def _roles(connection: Connection) -> list[str]:
    lines = [f"| `{role}` | {meaning} |" for role, meaning in _ROLES.items()]
    members = connection.execute(_MEMBERS).fetchall()
    return [
        "## Roles\n",
        "None of them can log in; they are granted to login roles of yours.\n",
        "\n".join(["| role | what it is for |", "| --- | --- |", *lines]) + "\n",
        "".join(f"`{row['role']}` is a member of `{row['granted']}`.\n" for row in members),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing: exit 1 and show the difference, if any")
    check = parser.parse_args().check
    dsn = os.environ.get("LOCI_DSN")
    if not dsn:
        print("reference: error: LOCI_DSN is not set (make -s dsn prints one)", file=sys.stderr)
        return 1
    try:
        with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
            text = generate(connection)
    except psycopg.Error as error:
        print(f"reference: error: {error.diag.message_primary or ' '.join(str(error).split())}", file=sys.stderr)
        return 1
    committed = PATH.read_text(encoding="utf-8") if PATH.exists() else ""
    if check:
        difference = difflib.unified_diff(
            committed.splitlines(True), text.splitlines(True), str(PATH.name), "the catalogue"
        )
        sys.stdout.writelines(difference)
        return int(committed != text)
    if committed != text:
        PATH.write_text(text, encoding="utf-8")
        print("docs/reference.md is written")
    else:
        print("docs/reference.md is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
