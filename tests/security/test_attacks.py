"""Attacks through PostgreSQL itself: what a login with loci_app can try besides asking Loci.

mal is an ordinary member of acme and owns a house of his own; bob's rows, the private project and umbrella are out of his sight.
The list of attacks is in docs/security.md, each with the test that tries it.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.database import ROOT, Connection, Database
from tests.security.world import World, make_world, refused, run

SECRET = "xyzzy"
HIDDEN = 300


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    world = make_world(db)
    bob = world.users["bob"]
    db.execute(
        "insert into loci.documents (scope_id, audience, title, content) "
        "select s.scope_id, s.audience, %s, format('%%s lies in the harbour, number %%s', %s::text, n) from generate_series(1, %s) as n "
        "cross join (values (%s::uuid, null::uuid[]), (%s, null), (%s, array[%s::uuid])) as s (scope_id, audience)",
        SECRET, SECRET, HIDDEN // 3, world.private, world.umbrella, world.acme, bob,
    )  # fmt: skip
    db.document(world.acme, "a boat lies in the harbour")
    db.document(world.users["dan"], "the boat of dan in the harbour")
    db.drain()
    db.execute("analyze")
    return world


@pytest.fixture
def dan(db: Database, world: World) -> UUID:
    return world.users["dan"]


@pytest.fixture(scope="module")
def role(db: Database) -> str:
    """A login role of an application, with a schema of its own to put things in."""
    role = db.login_role("attacker", "loci_app")
    db.execute(f'create schema "{role}" authorization "{role}"')
    db.execute(f'grant temporary on database "{db.name}" to "{role}"')
    return role


def shown(error: psycopg.Error) -> str:
    """All that a client is told by an error."""
    diag = error.diag
    parts = ("message_primary", "message_detail", "message_hint", "context", "internal_query", "constraint_name")
    return "\n".join(str(getattr(diag, part) or "") for part in parts)


MINE = {"a boat lies in the harbour", "the boat of dan in the harbour"}


def contents(connection: Connection, sql: str = "select content from loci.documents") -> set[str]:
    return {row["content"] for row in run(connection, sql).fetchall()}


# --- ids of others ----------------------------------------------------------------------------------------------------


def test_a_team_is_never_a_user(db: Database, world: World) -> None:
    """An audience names users and teams alike: a team with bob's id would read what is for bob."""
    eve, bob = world.users["eve"], world.users["bob"]
    statement = "insert into loci.teams (team_id, organization_id, name) values (%s, %s, 'false friends')"
    with db.acting(eve) as connection, refused("42501"):
        run(connection, statement, (bob, world.umbrella))
    for scope in (bob, world.acme, world.private):
        with db.connect(db.login_role("careless", "loci_admin")) as connection, refused("LC103"):
            run(connection, statement, (scope, world.umbrella))
    for table, columns in {
        "users": "(user_id) values (%(team)s)",
        "organizations": "(organization_id, name) values (%(team)s, 'x')",
        "projects": "(project_id, organization_id, name) values (%(team)s, %(acme)s, 'x')",
    }.items():
        with pytest.raises(psycopg.Error) as caught:
            db.admin.execute(SQL("insert into loci.{} " + columns).format(Identifier(table)), vars(world))
        assert caught.value.sqlstate == "LC103"
    with refused("LC104"):
        db.execute("update loci.teams set team_id = %s where team_id = %s", bob, world.team)


def test_what_is_gone_is_not_taken_over(db: Database, world: World) -> None:
    """A project with the id of one that was deleted would open rows that were left behind in watched tables."""
    project = db.project(world.acme, "to be dissolved")
    db.execute("delete from loci.projects where project_id = %s", project)
    with db.acting(world.users["eve"]) as connection:
        with refused("42501"), connection.transaction():
            run(
                connection,
                "insert into loci.projects (project_id, organization_id, name) values (%s, %s, 'x')",
                (project, world.umbrella),
            )
        run(connection, "insert into loci.projects (organization_id, name) values (%s, 'x')", (world.umbrella,))
        connection.execute("rollback")


@pytest.mark.parametrize("table", ["documents", "organization_members", "team_members", "project_members"])
def test_errors_of_keys_do_not_show_rows(db: Database, world: World, role: str, table: str) -> None:
    """Unique and foreign keys hold for hidden rows too; what they say is what the attacker wrote himself, and no more."""
    hidden = db.value("select document_id from loci.documents where scope_id = %s limit 1", world.private)
    bob = world.users["bob"]
    attempts: list[tuple[str, list[Any]]] = {
        "documents": [
            ("insert into loci.documents (document_id, content) values (%s, 'x')", [hidden]),
            ("update loci.documents set document_id = %s where content = 'the boat of dan in the harbour'", [hidden]),
            (
                "insert into loci.documents (document_id, content) values (%s, 'x') on conflict do nothing returning content",
                [hidden],
            ),
        ],
        "organization_members": [
            ("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", [world.umbrella, bob]),
            ("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", [world.acme, bob]),
        ],
        "team_members": [
            ("insert into loci.team_members (team_id, user_id) values (%s, %s)", [world.team, world.users["dan"]])
        ],
        "project_members": [
            (
                "insert into loci.project_members (project_id, user_id) values (%s, %s)",
                [world.private, world.users["dan"]],
            )
        ],
    }[table]  # type: ignore[assignment]
    with db.acting(world.users["dan"], role) as connection:
        for statement, parameters in attempts:
            try:
                with connection.transaction():
                    cursor = run(connection, statement, parameters)
                    assert cursor.rowcount == 0, statement
            except psycopg.Error as error:
                assert error.sqlstate in ("23505", "42501", "LC141"), error
                told = shown(error)
                assert SECRET not in told
                mentioned = set(re.findall(r"[0-9a-f-]{36}", told))
                assert mentioned <= {str(p) for p in parameters}, told
        connection.execute("rollback")


def test_references_tell_nothing(db: Database, world: World, role: str, dan: UUID) -> None:
    """A foreign key is checked without row security: applications may not make one to Loci's tables."""
    with db.acting(dan, role) as connection:
        for table, column in (("documents", "document_id"), ("users", "user_id"), ("projects", "project_id")):
            with refused("42501"), connection.transaction():
                run(connection, f'create table "{role}".probe (id uuid references loci.{table} ({column}))')


# --- queries ----------------------------------------------------------------------------------------------------------

LISTENER = """
create table heard (what text);
create function listen(anything anyelement) returns boolean language plpgsql cost 0.0000001 as
$$ begin insert into heard values (anything::text); return true; end $$;
create function hear_both(a text, b text) returns boolean language plpgsql cost 0.0000001 as
$$ begin insert into heard values (a), (b); return true; end $$;
create operator ~~~ (leftarg = text, rightarg = text, function = hear_both, restrict = eqsel, join = eqjoinsel);
create type loud as (what text);
create function louder(text) returns loud language plpgsql cost 0.0000001 as
$$ begin insert into heard values ($1); return row($1)::loud; end $$;
create cast (text as loud) with function louder(text) as assignment;
create aggregate shout(text) (sfunc = concat_heard, stype = text);
"""


def test_hostile_operators_hear_only_what_is_seen(db: Database, world: World, role: str, dan: UUID) -> None:
    """Operators, casts, aggregates and functions that cost nothing are run after the policies, on every readable relation."""
    readable = db.rows(
        "select c.relname as name from pg_class as c where c.relnamespace = 'loci'::regnamespace "
        "and c.relkind in ('r', 'p', 'v', 'm') and has_table_privilege('loci_app', c.oid, 'select')"
    )
    theirs = {
        str(world.umbrella),
        str(world.users["eve"]),
        str(world.theirs),
        str(world.private),
        str(world.users["fay"]),
    }
    with db.acting(dan, role) as connection:
        run(connection, f'set local search_path = "{role}", pg_catalog')
        run(
            connection,
            "create function concat_heard(text, text) returns text language plpgsql cost 0.0000001 as "
            "$$ begin insert into heard values ($2); return $2; end $$",
        )
        run(connection, LISTENER.replace("create function concat_heard", "create or replace function concat_heard"))
        for row in readable:
            name = Identifier(row["name"])
            for statement in (
                "select count(*) from loci.{} as t where listen(t)",
                "select count(*) from loci.{} as t where t::text ~~~ 'x'",
                "select count(*) from loci.{} as t where (t::text)::loud is not null",
                "select count(*) from loci.{} as t join pg_namespace as n on listen(t) and hear_both(t::text, n.nspname)",
                "select shout(t::text) from loci.{} as t",
                "select count(*) from loci.{} as t left join lateral (select listen(t) offset 0) as x on true",
                "select count(*) from (select * from loci.{} order by 1 limit 10000) as t where listen(t)",
                "select exists (select from loci.{} as t where listen(t) group by t having listen(t))",
            ):
                run(connection, SQL(statement).format(name))  # type: ignore[arg-type]
        heard = {row["what"] or "" for row in run(connection, "select what from heard").fetchall()}
        connection.execute("rollback")
    assert any("the boat of dan" in what for what in heard)
    assert not [what for what in heard if SECRET in what or any(id in what for id in theirs)]


def test_a_function_is_no_way_into_the_search(db: Database, world: World, role: str, dan: UUID) -> None:
    """What loci.search() returns is all that functions over it are given."""
    with db.acting(dan, role) as connection:
        run(connection, f'set local search_path = "{role}", pg_catalog')
        run(connection, "create table told (what text)")
        run(
            connection,
            "create function tell(text) returns boolean language plpgsql cost 0.0000001 as "
            "$$ begin insert into told values ($1); return true; end $$",
        )
        for mode in ("hybrid", "vector", "keyword"):
            run(
                connection,
                f"select count(*) from loci.search('{SECRET} harbour', k => 1000, mode => '{mode}') as s where tell(s.content)",
            )
        assert {row["what"] for row in run(connection, "select what from told").fetchall()} == MINE
        connection.execute("rollback")


@pytest.mark.parametrize("format", ["text", "json"])
def test_explain_shows_no_text(db: Database, world: World, role: str, dan: UUID, format: str) -> None:
    """Of tables, functions, and statements nested in them."""
    with db.acting(dan, role) as connection:
        for statement in (
            "select * from loci.documents",
            f"select * from loci.documents where content like '%{'harbour'}%' order by content",
            "select * from loci.search('harbour', k => 10)",
            "select * from loci.search('harbour', k => 10, mode => 'keyword')",
            "select loci.visible_scopes()",
            "update loci.documents set title = 'x'",
            "delete from loci.documents",
        ):
            for options in ("analyze, verbose, buffers", "verbose", "analyze, verbose, settings, wal"):
                plan = str(run(connection, f"explain ({options}, format {format}) {statement}").fetchall())
                assert SECRET not in plan
                assert "loci_private.chunks" not in plan and "embeddings_" not in plan
        with refused("42501"), connection.transaction():
            connection.execute("load 'auto_explain'")
        with refused("42501"), connection.transaction():
            connection.execute("set local session_preload_libraries = 'auto_explain'")
        with refused("42501"), connection.transaction():
            connection.execute("set local log_min_messages = debug5")
        for setting in ("debug_print_plan", "debug_print_parse", "debug_print_rewritten", "log_statement_stats"):
            try:
                with connection.transaction():
                    run(connection, f"set local {setting} = on")
                    run(connection, "select count(*) from loci.search('harbour')")
            except psycopg.errors.InsufficientPrivilege:
                pass
        connection.execute("rollback")


def test_debug_messages_do_not_reach_the_client(db: Database, world: World, role: str, dan: UUID) -> None:
    """With all that a client may turn on, neither a plan nor a nested statement has a hidden row in it."""
    heard: list[str] = []
    with db.acting(dan, role) as connection:
        connection.add_notice_handler(
            lambda notice: heard.append(str(notice.message_primary) + str(notice.message_detail))
        )
        run(connection, "set local client_min_messages = debug5")
        for setting in ("debug_print_plan", "debug_print_parse", "debug_print_rewritten"):
            run(connection, f"set local {setting} = on")
        assert contents(connection) == MINE
        assert contents(connection, "select content from loci.search('harbour', k => 1000)") == MINE
    assert heard
    assert not [message for message in heard if SECRET in message]


def plan_of(connection: Connection, statement: str) -> list[dict[str, Any]]:
    tree = run(connection, f"explain (analyze, format json, timing off) {statement}").fetchall()[0]["QUERY PLAN"][0][
        "Plan"
    ]
    nodes: list[dict[str, Any]] = []

    def walk(node: dict[str, Any]) -> None:
        nodes.append(node)
        for child in node.get("Plans", []):
            walk(child)

    walk(tree)
    return nodes


def test_rows_of_other_scopes_are_not_even_read(db: Database, world: World, dan: UUID) -> None:
    """So that neither the time nor EXPLAIN's counts tell how many there are."""
    elsewhere = "insert into loci.documents (scope_id, content) select %s, 'elsewhere' from generate_series(1, %s)"

    def read() -> list[tuple[str, int, int]]:
        """What was read of documents, and how much of it was thrown away; in scopes that dan sees."""
        with db.acting(dan) as connection:
            run(connection, "set local enable_seqscan = off")
            nodes = plan_of(connection, "select content from loci.documents")
        return [
            (node["Node Type"], node["Actual Rows"], node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
            for node in nodes
            if node.get("Relation Name") == "documents"
        ]  # fmt: skip

    before = read()
    assert [rows for _, rows, _ in before] == [len(MINE)]
    db.execute(elsewhere, world.umbrella, HIDDEN)
    try:
        assert read() == before
    finally:
        db.execute("delete from loci.documents where content = 'elsewhere'")
        db.drain()


def test_statistics_are_out_of_reach(db: Database, world: World, role: str, dan: UUID) -> None:
    with db.acting(dan, role) as connection:
        for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
            assert run(connection, f"select from {view} where schemaname in ('loci', 'loci_private')").fetchall() == []
        for table in ("pg_statistic", "pg_statistic_ext_data", "pg_largeobject", "pg_authid"):
            with refused("42501"), connection.transaction():
                run(connection, f"select * from {table}")
        # Statements of other roles, running or just run.
        rows = run(connection, "select query from pg_stat_activity where usename <> session_user").fetchall()
        assert {row["query"] for row in rows} <= {"<insufficient privilege>", "", None}


# --- other ways out ---------------------------------------------------------------------------------------------------


def test_copy_and_table_see_what_select_sees(db: Database, world: World, role: str, dan: UUID) -> None:
    with db.acting(dan, role) as connection:
        assert {row["content"] for row in run(connection, "table loci.documents").fetchall()} == MINE
        with connection.cursor().copy("copy (select content from loci.documents) to stdout") as copy:
            assert {bytes(line).decode().strip() for line in copy} == MINE
        with connection.cursor().copy("copy loci.documents (content) to stdout") as copy:
            assert {bytes(line).decode().strip() for line in copy} == MINE
        # COPY FROM cannot apply policies: it is refused, not let through.
        with refused("0A000", "42501"), connection.transaction():
            with connection.cursor().copy("copy loci.documents (scope_id, content) from stdin") as copy:
                copy.write_row((world.private, "planted"))
        for statement in (
            "copy loci.documents to '/tmp/documents'",
            "copy loci.documents to program 'cat'",
            "copy (select 1) to program 'cat'",
            "select lo_import('/etc/passwd')",
            "select lo_export(1, '/tmp/x')",
            "select pg_read_file('/etc/passwd')",
            "select pg_ls_dir('.')",
        ):
            with refused("42501"), connection.transaction():
                run(connection, statement)


def test_pg_dump_takes_no_more_than_the_user(db: Database, world: World, role: str) -> None:
    """As an application's login: refused by row security, or with it only what nobody named sees; the machinery never."""

    def dump(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*db.pg_dump(role), "--data-only", *options],
            capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip

    for options in ((), ("--table=loci.documents",), ("--schema=loci",), ("--schema=loci_private",)):
        done = dump(*options)
        assert done.returncode != 0 and SECRET not in done.stdout + done.stderr, options
    # pg_dump switches off views of others while it reads; where a policy needs one, it is refused as well.
    done = dump("--enable-row-security", "--table=loci.documents")
    assert "COPY loci.documents" in done.stdout + done.stderr
    assert "harbour" not in done.stdout + done.stderr


def test_a_cursor_stays_with_the_user_it_was_first_read_for(db: Database, world: World, role: str, dan: UUID) -> None:
    """Another user named meanwhile adds nothing to it, and what is opened for one is not the other's when nobody read it."""
    bob, fay = world.users["bob"], world.users["fay"]
    queries = ("select content from loci.documents", "select content from loci.search('harbour', k => 1000)")
    with db.connect(role) as connection:
        for query in queries:
            with connection.transaction():
                run(connection, "select loci.act_as(%s)", (dan,))
                run(connection, f"declare mine no scroll cursor for {query}")
                first = contents(connection, "fetch 1 from mine")
                run(connection, "select loci.act_as(%s)", (bob,))
                assert len(contents(connection, query)) > HIDDEN // 3
                assert first | contents(connection, "fetch all from mine") == MINE
            with refused("34000"):
                run(connection, "fetch all from mine")
            with connection.transaction():
                run(connection, "select loci.act_as(%s)", (bob,))
                run(connection, f"declare his no scroll cursor for {query}")
                run(connection, "select loci.act_as(%s)", (fay,))
                assert contents(connection, "fetch all from his") == set()
        # What is held is read at the end of the transaction, and is the user's of that moment.
        with connection.transaction():
            run(connection, "select loci.act_as(%s)", (dan,))
            run(connection, f"declare held no scroll cursor with hold for {queries[0]}")
        assert contents(connection, "fetch all from held") == MINE
        run(connection, "discard all")
        with refused("34000"):
            run(connection, "fetch all from held")


def test_a_prepared_statement_asks_for_whoever_runs_it(db: Database, world: World, role: str, dan: UUID) -> None:
    """Also with one plan for all: the user is no part of it."""
    bob, fay = world.users["bob"], world.users["fay"]
    with db.connect(role) as connection:
        run(connection, "set plan_cache_mode = force_generic_plan")
        run(connection, "prepare mine as select content from loci.documents")
        run(connection, "prepare found as select content from loci.search('harbour', k => 1000)")
        for _ in range(2):
            for user, count in ((bob, HIDDEN // 3 + 1), (dan, 2), (fay, 0), (None, 0), (bob, HIDDEN // 3 + 1)):
                with connection.transaction():
                    if user is not None:
                        run(connection, "select loci.act_as(%s)", (user,))
                    for statement in ("mine", "found"):
                        got = contents(connection, f"execute {statement}")
                        assert len(got) == count
                        assert user == bob or not [content for content in got if SECRET in content]
        # Not even where the role changes under the plan.
        with refused("42501"), connection.transaction():
            run(connection, "set local role loci_admin")


def test_a_row_that_moves_in_the_middle_of_a_transaction(db: Database, world: World) -> None:
    """The reader's transaction goes on; from the next statement on the row is where it went, uncommitted moves are nowhere."""
    bob = world.users["bob"]
    document = db.document(world.teams, "the moving harbour")
    db.drain()
    found = "select content from loci.search('moving harbour', k => 1000) where content = 'the moving harbour'"
    try:
        with db.acting(bob) as reader, db.connect() as writer:
            assert contents(reader, found) == {"the moving harbour"}
            run(writer, "begin")
            run(writer, "update loci.documents set scope_id = %s where document_id = %s", (world.private, document))
            assert contents(reader, found) == {"the moving harbour"}
            run(writer, "commit")
            assert contents(reader, found) == set()
            assert "the moving harbour" not in contents(reader)
    finally:
        db.execute("delete from loci.documents where document_id = %s", document)
        db.drain()


def test_temporary_objects_change_nothing(db: Database, world: World, role: str, dan: UUID) -> None:
    """pg_temp comes first in everybody's search_path, except where it is said to come last."""
    with db.acting(dan, role) as connection:
        run(connection, "create temporary table scopes as select gen_random_uuid() as scope_id")
        run(connection, "create temporary table team_members as select loci.current_user_id() as user_id, %s::uuid as team_id",
            (world.team,))  # fmt: skip
        run(
            connection,
            "create temporary view users as select loci.current_user_id() as user_id, session_user::text as db_role",
        )
        run(connection, "create function pg_temp.current_user_id() returns uuid language sql as $$ select %s::uuid $$"
            .replace("%s", f"'{world.users['bob']}'"))  # fmt: skip
        run(connection, "create function pg_temp.visible_scopes() returns uuid[] language sql as "
            f"$$ select array['{world.private}'::uuid] $$")  # fmt: skip
        run(connection, "set local search_path = pg_temp, loci, pg_catalog")
        assert contents(connection) == MINE
        assert contents(connection, "select content from loci.search('harbour', k => 1000)") == MINE
        # Nor can a table of the session stand for one of Loci's.
        with refused("42P16", "42501"), connection.transaction():
            run(connection, "create temporary table t () inherits (loci.documents)")
        connection.execute("rollback")


def test_large_objects_and_channels_hold_nothing_of_loci(db: Database, world: World, role: str, dan: UUID) -> None:
    """No large object is made, and nothing that is notified holds more than ids of the row's own user."""
    assert db.value("select count(*) from pg_largeobject_metadata") == 0
    with db.connect(role) as listener:
        for channel in ("loci", "loci_completions", "loci_drain", "documents"):
            run(listener, f"listen {channel}")
        db.document(world.private, f"{SECRET} again in the harbour", title=SECRET)
        db.drain()
        heard = list(listener.notifies(timeout=0))
        run(listener, "select 1")
        heard += list(listener.notifies(timeout=0))
    assert not [notice for notice in heard if SECRET in notice.payload]
    db.execute("delete from loci.documents where content like '%%again in the harbour'")
    db.drain()


def test_sequences_are_out_of_reach(db: Database, world: World, role: str, dan: UUID) -> None:
    """How many rows, chunks or jobs there are is told by their numbers."""
    sequences = db.rows(
        "select c.oid::regclass::text as name from pg_class as c where c.relkind = 'S' and c.relnamespace::regnamespace::text ~ '^loci'"
    )
    assert sequences
    with db.acting(dan, role) as connection:
        for sequence in (row["name"] for row in sequences):
            for statement in (
                f"select last_value from {sequence}",
                f"select currval('{sequence}')",
                f"select nextval('{sequence}')",
                f"select setval('{sequence}', 1)",
            ):
                with refused("42501"), connection.transaction():
                    run(connection, statement)
        visible = run(
            connection,
            "select last_value from pg_sequences where schemaname ~ '^loci' and last_value is not null",
        ).fetchall()
        assert visible == []
        with refused("55000"), connection.transaction():
            run(connection, "select lastval()")
        run(connection, "insert into loci.documents (content) values ('x')")
        run(connection, "delete from loci.documents where content = 'x'")
        # The trigger numbered an entry of the queue on the way; whoever wrote the row learns that number at most.
        with refused("42501", "55000"), connection.transaction():
            run(connection, "select lastval()")
        connection.execute("rollback")


def test_advisory_locks_stop_nobody(db: Database, world: World, role: str, dan: UUID) -> None:
    """An application that holds every advisory lock it can think of holds up neither a drain nor a search nor a write."""
    with db.connect(role) as connection:
        run(connection, "select pg_advisory_lock(n) from generate_series(-50, 300) as n")
        run(connection, "select pg_advisory_lock(n, m) from generate_series(0, 9) as n, generate_series(0, 9) as m")
        run(
            connection,
            "select pg_advisory_lock(c.oid::bigint) from pg_class as c where c.relnamespace = 'loci'::regnamespace",
        )
        run(
            connection,
            "select pg_advisory_lock(hashtextextended(t, 0)) from unnest(array['loci', 'drain', 'loci.drain']) as t",
        )
        with db.connect() as other:
            run(other, "set lock_timeout = '5s'")
            document = db.document(world.acme, "the harbour master")
            other.execute("call loci.drain(30)")
            assert "the harbour master" in db.found(dan, "harbour master")
            run(other, "delete from loci.documents where document_id = %s", (document,))
            other.execute("call loci.drain(30)")


# What would make others wait, run code as them, or copy what is hidden.
OBJECTS = [
    "create index on loci.documents (content)",
    "create statistics s on title, content from loci.documents",
    "create view pg_temp.v as select * from loci_private.chunks",
    "create rule r as on insert to loci.documents do also notify x",
    "alter table loci.documents force row level security",
    "reindex table loci.documents",
    "create publication p for table loci.documents",
    "select pg_create_logical_replication_slot('x', 'test_decoding')",
    "create event trigger e on ddl_command_end execute function suppress_redundant_updates_trigger()",
    "create extension file_fdw",
    "create function pg_temp.f() returns int language plpython3u as 'return 1'",
    "create cast (uuid as text) with inout as implicit",
    "lock table loci.users in access exclusive mode",
    "lock table loci_private.row_queue in share mode",
]


@pytest.mark.parametrize("statement", OBJECTS)
def test_objects_on_tables_of_loci_are_refused(
    db: Database, world: World, role: str, dan: UUID, statement: str
) -> None:
    with db.acting(dan, role) as connection, refused("42501"):
        run(connection, statement)


def test_settings_of_the_server_are_refused(db: Database, world: World, role: str) -> None:
    with db.connect(role) as connection:
        for statement in ("alter system set row_security = off", "alter role loci_app set row_security = off",
                          f'alter database "{db.name}" set row_security = off'):  # fmt: skip
            with refused("42501"):
                run(connection, statement)


def test_a_view_of_the_attackers_own_sees_as_the_attacker(db: Database, world: World, role: str, dan: UUID) -> None:
    """A view runs with its owner's policies, a definer function with its owner's rights; the user is the transaction's."""
    other = db.login_role("reader", "loci_app")
    with db.acting(dan, role) as connection:
        run(connection, f'set local search_path = "{role}"')
        run(connection, "create view looked as select content from loci.documents")
        run(
            connection,
            "create function peek() returns setof text language sql security definer as 'select content from loci.documents'",
        )
        assert contents(connection, "select content from looked") == MINE
        run(connection, f'grant usage on schema "{role}" to "{other}"')
        run(connection, f'grant select on looked to "{other}"')
        run(connection, "select loci.act_as(%s)", (world.users["fay"],))
        assert contents(connection, "select content from looked") == set()
        assert run(connection, "select peek()").fetchall() == []
        connection.execute("rollback")


def test_every_kind_of_login_is_somebody_or_nobody(db: Database, world: World, role: str) -> None:
    """A mapped role that is also an application, and roles that are members of either."""
    user = db.user("both@example.org")
    mapped = db.login_role("both", "loci_app")
    heir = db.login_role("heir_of_both", f'"{mapped}"')
    db.execute("update loci.users set db_role = %s where user_id = %s", mapped, user)
    db.document(user, "the harbour of both")
    who = "select loci.current_user_id() as id"
    with db.connect(mapped) as connection:
        for name in ("none", "loci_app", mapped):
            run(connection, f'set role "{name}"' if name != "none" else "set role none")
            assert run(connection, who).fetchall() == [{"id": user}]
            assert contents(connection) == {"the harbour of both"}
            with refused("LC102"):
                run(connection, "select loci.act_as(%s)", (world.users["bob"],))
        run(connection, "reset role")
        run(connection, "discard all")
        assert run(connection, who).fetchall() == [{"id": user}]
    # Being allowed to become the mapped role is not logging in as it: that login is an application.
    with db.connect(heir) as connection:
        run(connection, f'set role "{mapped}"')
        assert run(connection, who).fetchall() == [{"id": None}]
        assert contents(connection) == set()


def test_what_a_source_hid_stays_hidden_when_it_is_no_longer_watched(db: Database, world: World) -> None:
    """The marks of deleted and moved rows go with the queue; the rows they hide must go too."""
    bob = world.users["bob"]
    db.execute("create table public.berths (id int primary key, body text, place uuid)")
    db.execute("select loci.watch('public.berths', 'body', 'place')")
    db.execute(
        "insert into public.berths values (1, 'a berth that stays', %(acme)s), (2, 'a berth that goes', %(acme)s), "
        "(3, 'a berth that moves', %(acme)s)".replace("%(acme)s", f"'{world.acme}'")
    )
    db.drain()

    def found() -> set[str]:
        return {content for content in db.found(bob, "berth") if "berth" in content}

    assert len(found()) == 3
    with db.connect() as connection:
        # Where the snapshot is older than a drain may be, marks are all that hides.
        run(connection, "begin isolation level repeatable read")
        run(connection, "delete from public.berths where id = 2")
        run(connection, "update public.berths set place = %s where id = 3", (world.private,))
        run(connection, "commit")
    assert found() == {"a berth that stays"}
    db.execute("select loci.unwatch('public.berths', drop_index => false)")
    assert found() == {"a berth that stays"}
    db.execute("select loci.watch('public.berths', 'body', 'place')")
    db.execute("truncate public.berths")
    assert found() == set()
    db.execute("select loci.unwatch('public.berths', drop_index => false)")
    assert found() == set()
    db.execute("drop table public.berths")


# --- the list of docs/security.md -------------------------------------------------------------------------------------


def threats() -> list[tuple[str, str, str]]:
    """Rows of the table of attacks: what is tried, file and test."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = text.partition("## What has been tried")[2].partition("\n## ")[0]
    return re.findall(r"^\| ([^|]+) \|[^|]*?`(test_\w+)\.(test_\w+)`", table, re.MULTILINE)


def test_every_attack_named_in_the_documentation_has_its_test() -> None:
    rows = threats()
    assert len(rows) > 25
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("## What has been tried")[2]
    named = re.findall(r"`(test_\w+)\.(test_\w+)`", text.partition("\n## ")[0])
    for file, test in named:
        source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob(f"{file}.py"))
        assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{file}.{test}"
    mine = re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / "security" / "test_attacks.py").read_text(), re.MULTILINE)
    unnamed = set(mine) - {test for _, test in named} - {"test_every_attack_named_in_the_documentation_has_its_test"}
    assert not unnamed, "tests of attacks that docs/security.md does not name"
