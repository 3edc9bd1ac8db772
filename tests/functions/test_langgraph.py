"""LangGraph's own checkpointer in the same database, and what is left of its threads after pruning.

The first run of a checkout installs LangGraph beside everything else, in .venv-langgraph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from tests.database import ROOT, Database
from tests.environments import installed, run
from tests.pipeline.background import Background, wait_for_lock

pytestmark = pytest.mark.timeout(300)

PRUNE = "select * from loci.prune_checkpoints(interval '30 days')"


@pytest.fixture(scope="session")
def langgraph() -> Path:
    """A Python that has LangGraph."""
    return installed("langgraph", ROOT / "tests/langgraph-requirements.txt") / "python"


class Threads:
    """Threads of an application that owns its checkpoints."""

    def __init__(self, db: Database, python: Path) -> None:
        self.db = db
        self.role = db.login_role("graphs", "loci_app")
        self._python = python
        db.execute(f'grant create on schema public to "{self.role}"')

    def _call(self, *arguments: str) -> Any:
        done = run([str(self._python), str(ROOT / "tests/langgraph_threads.py"), self.db.dsn_as(self.role), *arguments])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def conformance(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("conformance"))

    def say(self, thread: str, text: str) -> Any:
        return self._call("run", thread, text)

    def state(self, thread: str) -> Any:
        return self._call("state", thread)

    def age(self, thread: str, interval: str = "60 days") -> None:
        """As if everything of it had happened so much earlier."""
        self.db.execute(
            "update checkpoints set checkpoint = jsonb_set(checkpoint, '{ts}', to_jsonb(to_char("
            "((checkpoint ->> 'ts')::timestamptz - %s::interval) at time zone 'UTC', "
            '\'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"\'))) where thread_id = %s',
            interval,
            thread,
        )

    def rows(self, thread: str) -> dict[str, list[Any]]:
        return {
            table: self.db.rows(f"select * from {table} as t where thread_id = %s order by t::text", thread)
            for table in ("checkpoints", "checkpoint_writes", "checkpoint_blobs")
        }

    def prune(self, sql: str = PRUNE, role: str | None = None) -> dict[str, int]:
        with self.db.connect(role or self.role) as connection:
            row = connection.execute(cast(LiteralString, sql)).fetchone()
        assert row is not None
        return row

    def fake(self, thread: str, ts: str | None, namespace: str = "", number: int = 1) -> None:
        """A checkpoint without LangGraph, as it stores them."""
        self.db.execute(
            "insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint) "
            "values (%s, %s, %s, jsonb_strip_nulls(jsonb_build_object('v', 4, 'ts', %s::text)))",
            thread,
            namespace,
            f"{number:08}",
            ts,
        )

    def left(self) -> set[str]:
        return {row["thread_id"] for row in self.db.rows("select distinct thread_id from checkpoints")}


@pytest.fixture(scope="module")
def threads(db: Database, langgraph: Path) -> Threads:
    threads = Threads(db, langgraph)
    threads.say("setup", "hello")
    return threads


@pytest.fixture(autouse=True)
def empty(threads: Threads) -> None:
    threads.db.execute("truncate checkpoints, checkpoint_writes, checkpoint_blobs")


@contextmanager
def fails(code: str) -> Iterator[list[psycopg.Error]]:
    caught: list[psycopg.Error] = []
    with pytest.raises(psycopg.Error) as error:
        yield caught
    caught.append(error.value)
    assert error.value.sqlstate == code, error.value
    assert error.value.diag.message_hint


# --- what stays -------------------------------------------------------------------------------------------------------


def test_threads_are_pruned_whole_or_not_at_all(threads: Threads) -> None:
    """The old checkpoints of a live thread hold the writes that its delta channel is rebuilt from."""
    for thread in ("old", "live"):
        threads.say(thread, f"hello from {thread}")
        threads.say(thread, "and again")
        threads.age(thread)
    before_it_went_on = threads.state("live")
    state = threads.say("live", "still there")
    assert len(state["values"]["messages"]) > len(before_it_went_on["values"]["messages"])
    rows = threads.rows("live")
    # What is to be protected is there: no blob has the messages, and an old one has the name.
    assert {row["channel"] for row in rows["checkpoint_blobs"]} >= {"name"}
    assert "messages" not in {row["channel"] for row in rows["checkpoint_blobs"]}
    gone = threads.rows("old")

    assert threads.prune() == {
        "threads": 1,
        "checkpoints": len(gone["checkpoints"]),
        "writes": len(gone["checkpoint_writes"]),
        "blobs": len(gone["checkpoint_blobs"]),
    }
    assert all(gone.values())
    assert threads.rows("old") == {"checkpoints": [], "checkpoint_writes": [], "checkpoint_blobs": []}
    assert threads.rows("live") == rows
    assert threads.state("live") == state
    # It goes on, from every one of its checkpoints; the other begins anew.
    assert (
        threads.say("live", "on")["values"]["messages"][: len(state["values"]["messages"])]
        == state["values"]["messages"]
    )
    assert threads.state("old")["values"] == {}
    assert threads.say("old", "new")["values"]["turns"] == 1
    assert threads.prune()["threads"] == 0


def test_the_checkpointer_conforms_before_and_after(threads: Threads) -> None:
    before = threads.conformance()
    assert {name for name, result in before.items() if result["detected"]} >= {
        "put", "put_writes", "get_tuple", "list", "delete_thread",
    }  # fmt: skip
    assert {name: result["failures"] for name, result in before.items() if result["failures"]} == {}
    left = threads.left()
    assert len(left) > 10
    for thread in sorted(left)[::2]:
        threads.age(thread)
    # The suite has checkpoints with times of its own making, too.
    assert threads.prune()["threads"] >= len(sorted(left)[::2]) // 2
    assert threads.conformance() == before


@pytest.mark.parametrize(
    ("ts", "stays"),
    [
        ("2020-01-01T00:00:00.123456+00:00", False),
        ("2020-01-01T00:00:00+00:00", False),
        ("2020-01-01T00:00:00.123Z", False),
        ("2999-01-01T00:00:00+00:00", True),
        ("2020-01-01T00:00:00", True),
        ("2020-01-01T00:00:00+02:00", True),
        ("yesterday", True),
        ("", True),
        (None, True),
    ],
)
def test_what_does_not_say_how_old_it_is_stays(threads: Threads, ts: str | None, stays: bool) -> None:
    threads.fake("thread", ts)
    assert threads.prune()["threads"] == (0 if stays else 1)
    assert threads.left() == ({"thread"} if stays else set())


def test_one_young_namespace_keeps_a_thread(threads: Threads) -> None:
    old, young = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    threads.fake("subgraph", old)
    threads.fake("subgraph", young, namespace="inner")
    # Its latest checkpoint counts, not one that somebody forked from.
    threads.fake("latest", young, number=1)
    threads.fake("latest", old, number=2)
    threads.prune()
    assert threads.left() == {"subgraph"}


def test_the_oldest_go_first(threads: Threads) -> None:
    for year in (2022, 2020, 2021):
        threads.fake(str(year), f"{year}-01-01T00:00:00Z")
    assert threads.prune(PRUNE.replace("days'", "days', max_threads => 2"))["threads"] == 2
    assert threads.left() == {"2022"}


def test_a_thread_that_is_taken_up_meanwhile_is_left_alone(threads: Threads) -> None:
    threads.fake("resumed", "2020-01-01T00:00:00Z")
    threads.fake("other", "2020-01-01T00:00:00Z")
    with (
        threads.db.connect() as holding,
        threads.db.connect() as running,
        threads.db.connect(threads.role) as pruning,
    ):
        holding.execute("begin")
        holding.execute("select from checkpoints where thread_id = 'resumed' for update")
        prune = Background(pruning, PRUNE)
        wait_for_lock(threads.db, prune)
        running.execute(
            "insert into checkpoints (thread_id, checkpoint_id, checkpoint) "
            "values ('resumed', '00000002', '{\"ts\": \"2999-01-01T00:00:00Z\"}')"
        )
        holding.execute("rollback")
        prune.wait()
    assert prune.error is not None and prune.error.sqlstate == "LC844"
    assert threads.left() == {"resumed", "other"}
    assert threads.prune()["threads"] == 1
    assert threads.left() == {"resumed"}


# --- who, and what is refused -----------------------------------------------------------------------------------------


def test_a_superuser_runs_nothing_of_the_owner(threads: Threads, cron_db: Database) -> None:
    threads.fake("old", "2020-01-01T00:00:00Z")
    with threads.db.connect(threads.role) as owner:
        owner.execute("create table if not exists public.trap (who text)")
        owner.execute("grant insert on public.trap to public")
        owner.execute(
            "create or replace function public.spring() returns trigger language plpgsql as "
            "$$ begin insert into public.trap values (current_user); return old; end $$"
        )
        owner.execute("create trigger trap before delete on checkpoints for each row execute function public.spring()")
    try:
        with fails("LC842") as caught:
            threads.db.execute(PRUNE)
        with threads.db.connect() as connection, fails("LC842"):
            connection.execute(cast(LiteralString, f'set role "{threads.role}"'))
            connection.execute(PRUNE)
        assert threads.db.rows("select * from public.trap") == []
        # What the hint says is what pg_cron takes, and names the owner.
        hint = str(caught[0].diag.message_hint)
        with cron_db.connect() as connection, connection.transaction(force_rollback=True):
            connection.execute(cast(LiteralString, hint[hint.index("select cron.") :]))
            (job,) = connection.execute(
                "select username, database, command from cron.job where jobname = 'prune checkpoints'"
            ).fetchall()
        assert (job["username"], job["database"]) == (threads.role, threads.db.name)
        assert threads.prune(job["command"].replace("SELECT", "select * from", 1))["threads"] == 1
        assert threads.db.rows("select distinct who from public.trap") == [{"who": threads.role}]
    finally:
        threads.db.execute("drop trigger trap on checkpoints; drop table public.trap")


def test_only_who_may_delete_prunes(threads: Threads) -> None:
    threads.fake("old", "2020-01-01T00:00:00Z")
    for group in ("loci_app", "loci_admin"):
        stranger = threads.db.login_role("stranger", group)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            threads.prune(role=stranger)
    threads.db.execute(
        f'grant select, delete on checkpoints, checkpoint_writes, checkpoint_blobs to "{stranger}"; '
        f'grant select on checkpoint_migrations to "{stranger}"'
    )
    assert threads.prune(role=stranger)["threads"] == 1
    threads.db.execute(f'drop owned by "{stranger}"')


def test_a_superusers_own_tables(threads: Threads) -> None:
    """In a schema of their own, with a name that has to be quoted."""
    with threads.db.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute('create schema "odd %I schema"')
        for table in ("checkpoints", "checkpoint_writes", "checkpoint_blobs", "checkpoint_migrations"):
            connection.execute(
                cast(LiteralString, f'create table "odd %I schema".{table} as select * from public.{table}'),
                prepare=False,
            )
        connection.execute(
            """insert into "odd %I schema".checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint)
            values ('old', '', '1', '{"ts": "2020-01-01T00:00:00Z"}')"""
        )
        (row,) = connection.execute("select * from loci.prune_checkpoints('30 days', 'odd %I schema')").fetchall()
    assert (row["threads"], row["checkpoints"]) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        "insert into checkpoint_migrations (v) values (10)",
        "delete from checkpoint_migrations where v > 2",
        "delete from checkpoint_migrations",
        "alter table checkpoints alter column checkpoint type json",
        "alter table checkpoint_blobs rename column thread_id to thread",
    ],
)
def test_tables_of_an_unknown_version_are_left_alone(threads: Threads, change: str) -> None:
    threads.fake("old", "2020-01-01T00:00:00Z")
    with threads.db.connect(threads.role) as owner, owner.transaction(force_rollback=True):
        owner.execute(cast(LiteralString, change))
        with fails("LC841"):
            owner.execute(PRUNE)
    assert threads.left() == {"old"}


@pytest.mark.parametrize("table", ["checkpoints", "checkpoint_writes", "checkpoint_blobs", "checkpoint_migrations"])
def test_where_there_are_no_checkpoints(threads: Threads, table: str) -> None:
    with threads.db.connect(threads.role) as owner:
        with fails("LC840"):
            owner.execute(PRUNE.replace("days'", "days', 'nowhere'"))
        with owner.transaction(force_rollback=True):
            owner.execute(cast(LiteralString, f"alter table {table} rename to elsewhere"))
            with fails("LC840") as caught:
                owner.execute(PRUNE)
            assert table in str(caught[0].diag.message_detail)


@pytest.mark.parametrize(
    "arguments",
    ["interval '59 minutes'", "null", "interval '-1 day'", "interval '1 day', null", "interval '1 day', 'public', 0"],
)
def test_what_would_take_live_threads_is_refused(threads: Threads, arguments: str) -> None:
    with threads.db.connect(threads.role) as owner, fails("LC843"):
        owner.execute(cast(LiteralString, f"select loci.prune_checkpoints({arguments})"))


def test_nothing_of_the_checkpointer_is_in_the_way_of_loci(threads: Threads) -> None:
    """Its tables can be watched like any other, and its threads are nobody's scope."""
    threads.say("beside", "hello")
    people = threads.db.people()
    threads.db.document(people.acme, "beside the checkpoints")
    threads.db.drain()
    assert threads.db.found(people.ada, "beside the checkpoints") == {"beside the checkpoints"}
    assert threads.db.value("select loci.reconcile(deep => true)") == 0
