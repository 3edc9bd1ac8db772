"""Laws of the catalogue and of the tree: each test names the offenders."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.database import ROOT, Database

SQL = ROOT / "sql"
SCHEMAS = "(select s.oid from pg_namespace as s where s.nspname ~ '^loci(_|$)')"
# Made for each watched table, with the rights of its owner; tests/security looks at those.
GENERATED = "^source_[0-9]+_(read|keys|probe|place|changed)$"

# Owned by whoever installed Loci, because they change tables of others or schedule jobs.
INSTALLERS_DOORS = {
    # function -> how it looks at its caller before it does anything
    "loci.watch": "loci_private.require_owner(relation)",
    "loci.unwatch": "loci_private.require_owner(unwatch.relation)",
    "loci.set_chunking": "loci_private.require_owner(relation)",
    "loci.adopt_pgai_vectorizer": "loci_private.require_owner(v_relation)",
    "loci.drain": "set role loci_worker",
}
# Nobody but the installer may call these; the functions above do, with their own rights.
INSTALLERS_TOOLS = {
    "loci_private.build_source_readers",
    "loci_private.build_source_triggers",
    "loci_private.caller",
    "loci_private.follow_tables",
    "loci_private.give_reader",
    "loci_private.job_housekeeping",
    "loci_private.job_indexes",
    "loci_private.probe_source",
    "loci_private.register_source",
    "loci_private.require_owner",
    "loci_private.schedule_job",
    "loci_private.unfollow_table",
}
# Event triggers: they act in everybody's DDL and are called by nobody.
INSTALLERS_EARS = {"loci_private.follow_partitions", "loci_private.forget_tables"}
# Called by functions of loci_owner, and by nobody else: makes again what watch() made for a table.
INSTALLERS_REPAIRS = {"loci_private.refresh_source"}
# Take no arguments and only show Loci's own jobs and builds, where pg_cron lives, and which sessions are alive.
INSTALLERS_VIEWS = {
    "loci_private.cron_database",
    "loci_private.cron_slots",
    "loci_private.cron_jobs",
    "loci_private.index_builds",
    "loci_private.open_snapshots",
    "loci_private.sessions",
}
# Writes a line into the server's log, if an administrator turned that on, and does nothing else.
INSTALLERS_PEN = {"loci_private.log_event"}
# Takes no arguments: makes the jobs that are defined, as the settings say.
INSTALLERS_SCHEDULER = {"loci.schedule_jobs"}


def names(database: Database, sql: str, *parameters: Any) -> list[str]:
    return [row["name"] for row in database.rows(sql, *parameters)]


def files(*parts: str) -> list[Path]:
    return sorted(SQL.joinpath(*parts).rglob("*.sql"))


def test_everything_is_commented(db: Database) -> None:
    offenders = names(
        db,
        f"""
        select p.oid::regprocedure::text as name from pg_proc as p
        where p.pronamespace in {SCHEMAS} and p.proname !~ '{GENERATED}' and obj_description(p.oid, 'pg_proc') is null
        union all
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in {SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm')
            and c.relname !~ '^(embeddings_[0-9]+|alembic_version)$' and obj_description(c.oid, 'pg_class') is null
        order by 1
        """,
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_public_may_execute_nothing(db: Database) -> None:
    offenders = names(
        db,
        f"""
        select p.oid::regprocedure::text as name
        from pg_proc as p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace in {SCHEMAS} and a.grantee = 0
        order by 1
        """,
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_every_definer_has_a_fixed_search_path(db: Database) -> None:
    """It ends in pg_temp: where that is not named, it comes first."""
    offenders = names(
        db,
        f"""
        select p.oid::regprocedure::text as name
        from pg_proc as p
        where p.pronamespace in {SCHEMAS} and p.prosecdef and not exists (
            select from unnest(p.proconfig) as c (setting)
            where c.setting ~ '^search_path=pg_catalog, (.*, )?pg_temp$' and c.setting !~ 'pg_temp.*pg_temp'
        )
        order by 1
        """,
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_everything_in_reach_of_a_callers_search_path_is_bound(db: Database) -> None:
    """What clients may call is either a definer with a search_path of its own, or parsed when it was made."""
    offenders = names(
        db,
        f"""
        select p.oid::regprocedure::text as name
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang
        cross join lateral aclexplode(p.proacl) as a
        where p.pronamespace in {SCHEMAS} and a.grantee <> p.proowner
            and not (l.lanname = 'sql' and p.prosqlbody is not null)
            and not exists (select from unnest(p.proconfig) as c (setting) where c.setting like 'search\\_path=%')
            -- A procedure that ends transactions cannot have a SET clause; it runs as its caller.
            and not (p.prokind = 'p' and not p.prosecdef)
        order by 1
        """,
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_every_table_has_row_security(db: Database) -> None:
    offenders = names(
        db,
        """
        select c.oid::regclass::text as name from pg_class as c
        where c.relnamespace = 'loci'::regnamespace and c.relkind in ('r', 'p') and (
            not c.relrowsecurity
            or not exists (
                select from pg_policy as p where p.polrelid = c.oid and p.polroles @> array['loci_admin'::regrole::oid]
            )
        )
        order by 1
        """,
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_no_policy_is_for_everybody(db: Database) -> None:
    offenders = names(
        db,
        "select schemaname || '.' || tablename || ': ' || policyname as name from pg_policies "
        "where schemaname in ('loci', 'loci_private') and 'public' = any(roles) order by 1",
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_every_foreign_key_is_indexed(db: Database) -> None:
    offenders = names(
        db,
        f"""
        select k.conrelid::regclass || ': ' || k.conname as name
        from pg_constraint as k
        where k.contype = 'f' and k.connamespace in {SCHEMAS} and not exists (
            select from pg_index as i
            where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
                -- The first columns of the index are those of the key, in any order.
                and array(select unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) order by 1)
                    = array(select unnest(k.conkey) order by 1)
        )
        order by 1
        """,
    )
    assert not offenders, "\n".join(map(str, offenders))


def test_whatever_an_upsert_can_meet_is_in_its_target(db: Database) -> None:
    """Two at once of ON CONFLICT (a) fail with unique_violation of b, where both are unique: neither has seen the other."""
    upsert = re.compile(r"insert into (loci\w*\.\w+)[^;]*?on conflict (?=\(|on constraint|where)", re.IGNORECASE)
    targets = {table for path in files() for table in upsert.findall(path.read_text())}
    assert len(targets) > 10
    offenders = names(
        db,
        """
        select i.indrelid::regclass::text as name
        from pg_index as i
        where i.indrelid = any(%s::text[]::regclass[]) and i.indisunique and not exists (
            -- What is made up for each row meets nothing.
            select from pg_attribute as a
            left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                and (a.attidentity <> '' or pg_get_expr(d.adbin, d.adrelid) ~ 'uuid')
        )
        group by i.indrelid
        having count(*) > 1
        """,
        sorted(targets),
    )
    assert offenders == []


def test_marks_are_honest(db: Database) -> None:
    """Nothing that reaches a network or a clock is immutable, stable or parallel safe; nor is what calls it."""
    functions = db.rows(
        f"""
        select p.oid::regprocedure::text as name, n.nspname || '.' || p.proname as path, p.provolatile as volatile,
            p.proparallel as parallel, l.lanname as language, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body,
            p.prokind as kind, p.prorettype = 'trigger'::regtype as is_trigger
        from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        join pg_language as l on l.oid = p.prolang
        where p.pronamespace in {SCHEMAS} and p.proname !~ '{GENERATED}'
        """
    )
    tainted = {
        f["path"]
        for f in functions
        if f["language"] == "plpython3u" or re.search(r"\b(clock_timestamp|timeofday)\b", f["body"])
    }
    while True:
        calls = re.compile("|".join(rf"\b{re.escape(path)}\(" for path in sorted(tainted)))
        found = {f["path"] for f in functions if calls.search(f["body"])} - tainted
        if not found:
            break
        tainted |= found
    assert {"loci_private.now", "loci_private.embed_texts", "loci_private.verify_token", "loci.search"} <= tainted
    offenders = [
        f["name"]
        for f in functions
        if f["path"] in tainted
        and f["kind"] == "f"
        and not f["is_trigger"]
        and (f["volatile"] != "v" or f["parallel"] == "s")
    ]
    assert sorted(offenders) == []


def test_only_the_identity_is_a_setting_of_the_session() -> None:
    """Whatever a plain user could SET must not decide anything."""
    offenders = [
        str(path.relative_to(SQL))
        for path in files()
        if re.search(r"current_setting\(\s*'loci\.", path.read_text(), re.IGNORECASE)
    ]
    assert offenders == ["functions/identity/current_user_id.sql"]


def test_every_file_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"^\\ir (\S+)$", (SQL / "install.sql").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(path.relative_to(SQL)) for path in files()} - {"install.sql"}


# Files that hold rights, comments or rows instead of one function or view.
NOT_ONE_OBJECT = {
    "models/default_models.sql",
    "operations/default_settings.sql",
    "pipeline/default_redaction_patterns.sql",
    "security/comments.sql",
    "security/installed_objects.sql",
    "security/ownership.sql",
    "security/policies.sql",
    "security/privileges.sql",
    "sources/default_sources.sql",
}
_DEFINES = re.compile(
    r"^create (?:or replace )?(?:function|procedure|view|aggregate|type|table) (loci(?:_private)?)\.(\w+)", re.MULTILINE
)


def test_one_function_a_file() -> None:
    offenders = []
    for path in files("functions"):
        name = str(path.relative_to(SQL / "functions"))
        # Overloads share a file.
        defined = {match[1] for match in _DEFINES.findall(path.read_text())}
        if defined != (set() if name in NOT_ONE_OBJECT else {path.stem}):
            offenders.append(f"{name} defines {sorted(defined)}")
    assert not offenders, "\n".join(map(str, offenders))


def test_triggers_are_named_for_their_tables() -> None:
    offenders = [
        path.name
        for path in files("triggers")
        if "__" not in path.stem
        or not re.search(r"^create (or replace |constraint |event )?trigger ", path.read_text(), re.MULTILINE)
    ]
    assert not offenders, "\n".join(map(str, offenders))


def test_owners(db: Database) -> None:
    rows = db.rows(
        f"""
        select n.nspname || '.' || p.proname as name, p.prosrc as body, p.prosecdef as definer, coalesce((
            select array_agg(g.grantee::regrole::text order by 1) from aclexplode(p.proacl) as g where g.grantee <> p.proowner
        ), '{{}}') as callers
        from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        where p.pronamespace in {SCHEMAS} and p.proname !~ '{GENERATED}' and p.proowner <> 'loci_owner'::regrole
        """
    )
    owned = {row["name"]: row for row in rows}
    assert sorted(owned) == sorted(
        {
            *INSTALLERS_DOORS,
            *INSTALLERS_TOOLS,
            *INSTALLERS_REPAIRS,
            *INSTALLERS_VIEWS,
            *INSTALLERS_SCHEDULER,
            *INSTALLERS_EARS,
            *INSTALLERS_PEN,
        }
    )
    assert {name: sorted(owned[name]["callers"]) for name in INSTALLERS_SCHEDULER} == {
        name: ["loci_admin", "loci_owner"] for name in INSTALLERS_SCHEDULER
    }
    python = (ROOT / "python/udfs/loci_udfs/drain.py").read_text()
    for name, check in INSTALLERS_DOORS.items():
        assert check in (python if name == "loci.drain" else owned[name]["body"]), f"{name} does not check its caller"
    assert {name: owned[name]["callers"] for name in INSTALLERS_TOOLS | INSTALLERS_EARS if owned[name]["callers"]} == {}
    assert {name for name in INSTALLERS_TOOLS if owned[name]["definer"]} == set()
    assert {name: owned[name]["callers"] for name in INSTALLERS_REPAIRS} == {
        n: ["loci_owner"] for n in INSTALLERS_REPAIRS
    }

    tables = names(
        db,
        f"""
        select c.oid::regclass::text as name from pg_class as c
        where c.relnamespace in {SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relowner <> 'loci_owner'::regrole
        order by 1
        """,
    )
    assert tables == []


def test_nobody_is_a_member_of_the_owner(db: Database) -> None:
    """Superusers call functions of loci_owner, so that whoever is loci_owner is a superuser in the end."""
    offenders = names(
        db,
        "select m.member::regrole::text as name from pg_auth_members as m where m.roleid = 'loci_owner'::regrole "
        "union all select rolname from pg_roles where rolname = 'loci_owner' and (rolcanlogin or rolsuper or rolcreaterole)",
    )
    assert not offenders, "\n".join(map(str, offenders))


# --- errors -----------------------------------------------------------------------------------------------------------

_CODE = re.compile(r"\bLC\d{3}\b")
_RAISED = (
    re.compile(r"errcode = '(LC\d{3})'"),
    re.compile(r"\bsqlstate(?:: str)? ?= ?\"(LC\d{3})\""),
    re.compile(r"\bProblem\(\"(LC\d{3})\""),
)


def error_rows() -> list[list[str]]:
    rows = []
    for line in (ROOT / "docs/errors.md").read_text().splitlines():
        if re.match(r"\| *LC\d{3} *\|", line):
            rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_every_error_is_in_the_manual() -> None:
    rows = error_rows()
    assert [row for row in rows if len(row) != 4 or not all(row)] == []
    listed = [row[0] for row in rows]
    assert listed == sorted(set(listed))
    assert len({row[1] for row in rows}) == len(rows), "a name stands for two codes"

    raised: dict[str, set[str]] = defaultdict(set)
    mentioned: dict[str, set[str]] = defaultdict(set)
    for path in [*files(), *sorted((ROOT / "python").rglob("*.py"))]:
        text = path.read_text()
        for pattern in _RAISED:
            for code in pattern.findall(text):
                raised[code].add(path.name)
        for code in _CODE.findall(text):
            mentioned[code].add(path.name)
    assert {code: where for code, where in raised.items() if code not in listed} == {}
    assert {code: where for code, where in mentioned.items() if code not in listed} == {}
    assert [code for code in listed if code not in raised] == []


# --- plpgsql_check ----------------------------------------------------------------------------------------------------

# What is no fault: function, complaint, reason. Patterns.
JUSTIFIED = (
    (r".*", r'.* OUT variable ".*" is maybe unmodified', "RETURN QUERY EXECUTE gives them their values"),
    (
        r"loci(_private)?\.(cron_jobs|job_housekeeping|job_indexes|schedule_jobs)\(.*",
        r'error: .*"cron.*',
        "pg_cron lives in one database",
    ),
    (r"loci_private\.fill_organization\(\)", r'error: record "new" has no field .*', "two tables, a branch for each"),
    (r"loci_private\.claim\(.*", r"security: text type variable .*", "v_pass is one of three constants"),
    (
        r"loci\.unwatch\(.*",
        r"security: text type variable .*",
        "v_function is a regprocedure of the catalogue, as text",
    ),
    (
        r"loci_private\.count_vectors\(.*",
        r"security: text type variable .*",
        "its condition is filter_sql()'s, or one of two constants",
    ),
    (
        r"(loci_private\.(keyword_candidates|search_text)|loci\.(doctor|explain_search))\(.*",
        r"warning: target type is different .*",
        "an array appended to in a loop",
    ),
    (
        r"loci_private\.fuse\(.*",
        r"(error: record .* is not assigned yet|warning: cannot determinate a result of dynamic SQL)",
        "the statement is put together for the models that are asked",
    ),
    (r"loci_private\.check_schedule\(.*", r"warning: target type is different .*", "pieces of text that are numbers"),
)


def test_plpgsql_check_has_nothing_to_say(db: Database) -> None:
    if not db.rows("select from pg_available_extensions where name = 'plpgsql_check'"):
        pytest.skip("plpgsql_check is not installed on this server")
    db.execute("create extension if not exists plpgsql_check")
    complaints = db.rows(
        f"""
        select p.oid::regprocedure::text as function, c.level || ': ' || c.message as message
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
        left join lateral (
            -- Statement triggers of watched tables share one function, each with its own transition tables.
            select t.tgrelid, max(t.tgoldtable::text) as oldtable, max(t.tgnewtable::text) as newtable
            from pg_trigger as t where t.tgfoid = p.oid
            group by t.tgrelid
        ) as t on p.prorettype = 'trigger'::regtype
        cross join lateral plpgsql_check_function_tb(
            p.oid, coalesce(t.tgrelid, 0), oldtable => t.oldtable, newtable => t.newtable,
            other_warnings => true, performance_warnings => false, extra_warnings => true, security_warnings => true
        ) as c
        where p.pronamespace in {SCHEMAS} and (p.prorettype <> 'trigger'::regtype or t.tgrelid is not null)
        order by 1
        """
    )
    offenders = sorted(
        {
            f"{row['function']}: {row['message']}"
            for row in complaints
            if not any(re.fullmatch(f, row["function"]) and re.fullmatch(m, row["message"]) for f, m, _ in JUSTIFIED)
        }
    )
    assert not offenders, "\n".join(map(str, offenders))
