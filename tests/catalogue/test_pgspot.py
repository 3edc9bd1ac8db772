"""The rules of pgspot (github.com/timescale/pgspot), as laws of this tree and its catalogue.

pgspot itself does not get through it: version 0.9.4 ends with an IndexError at the first function whose body is
BEGIN ATOMIC, and takes statements one by one, without the search_path that they are all run with. What each of its rules
is about, and what holds here:

    PS001, PS009, PS016, PS017   operators, functions, types without a schema: while Loci is installed and migrated there is
                                 nothing in the search_path but pg_catalog; every function that others reach has its own
    PS002, PS007, PS008, PS011,  CREATE OR REPLACE or IF NOT EXISTS where somebody else could have been first: everything
    PS012, PS014, PS015          that is made is made in Loci's schemas
    PS003, PS004                 test_laws.test_every_definer_has_a_fixed_search_path
    PS005                        test_laws.test_everything_in_reach_of_a_callers_search_path_is_bound, and triggers below
    PS006, PS013                 there are no transforms and no foreign servers
    PS010                        schemas of somebody else are refused before anything is made in them
    PS018                        no statement sets another search_path
"""

from __future__ import annotations

import re

from tests.catalogue.test_laws import GENERATED, SCHEMAS, SQL, files, names
from tests.database import ROOT, Database

PATH = "set search_path = pg_catalog, pg_temp"
# Strings and comments hold examples and statements that functions put together.
_SILENT = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|--[^\n]*", re.DOTALL)
_CREATE = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?(?:unlogged\s+|constraint\s+|unique\s+)?"
    r"(function|procedure|aggregate|view|materialized\s+view|table|type|sequence|domain|operator|cast|transform|server|"
    r"foreign\s+\w+|language|collation|conversion|publication|rule)\s+(?:if\s+not\s+exists\s+)?([\w.\"]+)"
)


def statements() -> list[tuple[str, str]]:
    return [(str(path.relative_to(SQL)), _SILENT.sub(" ", path.read_text().lower())) for path in files()]


def test_everything_is_made_in_schemas_of_loci() -> None:
    made = [(name, kind, what) for name, text in statements() for kind, what in _CREATE.findall(text)]
    assert len(made) > 300
    assert [m for m in made if not re.match(r"loci(_private|_readers)?\.", m[2])] == []


def test_there_are_no_transforms_and_no_foreign_servers(db: Database) -> None:
    assert (
        names(
            db, "select 'transform ' || oid as name from pg_transform union all select srvname from pg_foreign_server"
        )
        == []
    )


def test_the_installation_has_one_search_path() -> None:
    """Before the first statement, both ways."""
    install = (SQL / "install.sql").read_text()
    assert 0 < install.index(f"\n{PATH};\n") < install.index("\\ir ")
    env = (ROOT / "migrations/env.py").read_text()
    assert 0 < env.index(PATH.replace("set ", "set local ", 1)) < env.index("create schema")
    # tests/upgrade/test_upgrade.py lays a trap in public.


def test_no_statement_sets_another_search_path() -> None:
    """Functions have it as an option, ending in pg_temp; nothing else sets it. Readers of a table have its owner's rights, and schema."""
    offenders = []
    for path in files():
        for found in re.finditer(
            r"\bset\s+(local\s+|session\s+)?search_path\s*(=|to)\s*([^\n;]*)", path.read_text(), re.IGNORECASE
        ):
            if found[1] or not re.match(r"pg_catalog(, %I, public)?, pg_temp\b", found[3]):
                offenders.append(f"{path.relative_to(SQL)}: {found[0]}")
        if "'search_path'" in path.read_text():
            offenders.append(f"{path.relative_to(SQL)}: set_config()")
    assert offenders == []


def test_every_trigger_has_a_search_path(db: Database) -> None:
    """It runs with that of whoever writes, whatever it is executable by."""
    offenders = names(
        db,
        f"""
        select p.oid::regprocedure::text as name from pg_proc as p
        where p.pronamespace in {SCHEMAS} and p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype)
            and not exists (select from unnest(p.proconfig) as c (setting) where c.setting like 'search\\_path=pg_catalog, %')
        """,
    )
    assert offenders == []


def test_defaults_and_policies_call_nothing_of_others(db: Database) -> None:
    """Parsed when they were made: what they are bound to is PostgreSQL's, Loci's or pgvector's."""
    offenders = names(
        db,
        f"""
        select distinct d.refobjid::regprocedure::text as name
        from pg_depend as d
        join pg_proc as f on f.oid = d.refobjid
        where d.refclassid = 'pg_proc'::regclass and d.classid = any(
                array['pg_attrdef', 'pg_policy', 'pg_rewrite', 'pg_constraint']::regclass[]
            )
            and f.pronamespace not in {SCHEMAS}
            and f.pronamespace <> all(array['pg_catalog', 'information_schema']::regnamespace[])
            and not exists (select from pg_depend as e where e.objid = f.oid and e.deptype = 'e')
        """,
    )
    assert offenders == []


def test_generated_functions_have_a_search_path_too(db: Database) -> None:
    rows = db.rows(
        f"select p.proname, p.proconfig from pg_proc as p where p.pronamespace in {SCHEMAS} and p.proname ~ '{GENERATED}'"
    )
    assert len(rows) >= 5
    assert [
        row for row in rows if not any(s.startswith("search_path=pg_catalog") for s in row["proconfig"] or [])
    ] == []
