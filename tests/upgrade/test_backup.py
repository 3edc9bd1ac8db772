"""docs/backup.md, executed: copies of a server that is busy, brought up elsewhere, are the same to everybody."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, LiteralString, cast
from uuid import UUID

import pytest

from tests.actions import Shop, open_shop
from tests.catalogue.test_docs import blocks_of
from tests.catalogue.test_privileges import matrix
from tests.database import ROOT, Database, migrate, wait_until
from tests.servers.local_server import LocalServer
from tests.servers.standby import Standby
from tests.upgrade.test_upgrade import functions_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUESTIONS = ("harbour light", "ticket about payments", "nothing of the kind")


@dataclass
class World:
    """Something of everything. waiting: a proposal that nobody has decided about."""

    server: LocalServer
    shop: Shop
    waiting: UUID

    @property
    def db(self) -> Database:
        return self.shop.db

    @property
    def users(self) -> list[UUID]:
        people = self.shop.people
        return [people.ada, people.bob, people.eve]


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, own_server: Any) -> Iterator[World]:
    if request.config.getoption("--server") != "local":
        pytest.skip("copies are made of a server of this machine")
    migrate(own_server.dsn("loci"))
    db = Database("loci", own_server.dsn)
    db.execute("update loci.settings set value = '* * * * *' where name = 'drain_schedule'")
    db.execute("select loci.add_embedding_model('hash', provider => 'hash', dimensions => 64)")
    db.execute("select loci.use_embedding_model('hash')")
    with open_shop(db) as shop:
        people = shop.people
        db.app_role()
        db.execute(
            "create table public.tickets (id bigint generated always as identity, region text, body text, place uuid, "
            "primary key (region, id)) partition by list (region);"
            "create table public.tickets_n partition of public.tickets for values in ('n');"
            "grant select, insert, update, delete on public.tickets to test_app;"
            "select loci.watch('public.tickets', content => 'body', scope => 'place')"
        )
        for number in range(20):
            db.document(people.acme, f"a light in the harbour, number {number}")
        db.document(people.umbrella, "a light in the harbour that eve alone may see")
        db.document(people.acme, "a light in the harbour for bob", audience=[people.bob])
        db.document(db.project(people.acme, "closed", "private"), "a light in the harbour for nobody")
        db.execute(
            "insert into tickets (region, body, place) select 'n', 'ticket about payments ' || i, %s "
            "from generate_series(1, 20) as i",
            people.acme,
        )
        mapped = db.login_role("eve", "loci_app")
        db.execute("update loci.users set db_role = %s where user_id = %s", mapped, people.eve)
        db.execute("select loci.add_gateway('far', 'http://127.0.0.1:9/v1', api_key_ref => 'env:FAR_KEY')")
        with db.acting(people.ada) as connection:
            connection.execute("select loci.remember('the harbour light is green')")
        waiting = shop.propose(people.ada, {"title": "waits for its restore"})
        db.drain()
        yield World(own_server, shop, waiting)
    db.close()


@contextmanager
def busy(db: Database, people: Any) -> Iterator[Callable[[], int]]:
    """Applications write and drains run meanwhile; how many statements have been committed."""
    ended = threading.Event()
    committed = 0
    errors: list[Exception] = []

    def write() -> None:
        nonlocal committed
        with db.connect("test_app") as connection:
            while not ended.is_set():
                with connection.transaction():
                    connection.execute("select loci.act_as(%s)", (people.ada,))
                    connection.execute(
                        "insert into loci.documents (scope_id, content) values (%s, %s)",
                        (people.acme, f"written during the copy, {committed}"),
                    )
                connection.execute(
                    "insert into tickets (region, body, place) values ('n', %s, %s)",
                    (f"ticket written during the copy, {committed}", people.acme),
                )
                connection.execute("update tickets set body = body || '.' where id = 1 + %s %% 20", (committed,))
                connection.execute("delete from tickets where id = %s", (100 + committed,))
                committed += 1

    def drain() -> None:
        with db.connect() as connection:
            while not ended.is_set():
                connection.execute("call loci.drain(1)")

    def run(what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(what,), daemon=True) for what in (write, drain, drain)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: committed > 3 or errors, "something is written")
        yield lambda: committed
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
    if errors:
        raise errors[0]


def shell(name: str, home: Path, **variables: str) -> None:
    """Run the block of docs/backup.md with this name, as the OS user that the servers run as."""
    (block,) = [b for b in blocks_of(ROOT / "docs/backup.md") if b.language == "sh" and b.marks == {"run", name}]
    as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*as_owner, "bash", "-euo", "pipefail", "-c", block.text],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that the OS user of the servers can use."""
    home = Path(os.environ["LOCI_TEST_HOME"]) / tmp_path_factory.mktemp("copy").name
    home.mkdir()
    if os.getuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    yield home
    shutil.rmtree(home, ignore_errors=True)


def tools(server: LocalServer) -> str:
    return f"{server.settings['LOCI_PG_BIN']}:{os.environ['PATH']}"


def seen(connection: Any, users: list[UUID], questions: tuple[str, ...] = QUESTIONS) -> list[Any]:
    """What each user and a superuser that is nobody find and read, in one snapshot."""
    found = []
    for user in [None, *users]:
        if user is not None:
            connection.execute("select loci.act_as(%s)", (user,))
        for mode in ("hybrid", "vector", "keyword"):
            for question in questions:
                rows = connection.execute(
                    cast(LiteralString, "select * from loci.search(%s, k => 50, mode => %s)"), (question, mode)
                ).fetchall()
                # Scores are floating-point sums over rows in whatever order they lie.
                rows = [{**row, "score": None, "vector_rank": None, "keyword_rank": None} for row in rows]
                found.append((user, mode, question, sorted(rows, key=lambda row: row["chunk_id"])))
        found.append(
            (user, connection.execute("select document_id, content from loci.documents order by 1").fetchall())
        )
        found.append((user, connection.execute("select content from loci.recall('light') order by 1").fetchall()))
    return found


@contextmanager
def snapshot(db: Database) -> Iterator[Any]:
    """As an application, and what it sees stays as it is."""
    with db.connect("test_app") as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        yield connection


def check_the_same(restored: Database, world: World) -> None:
    """Rights, triggers, actions, queues: nothing has to be done by hand."""
    source, people = world.db, world.shop.people
    assert matrix(restored) == matrix(source)
    assert functions_of(restored) == functions_of(source)
    owners = "select tablename, tableowner, rowsecurity from pg_tables where schemaname ~ '^loci' order by 1"
    assert restored.rows(owners) == source.rows(owners)

    restored.drain()
    assert restored.waiting() == 0
    assert restored.value("select loci.reconcile(deep => true)") == 0
    unseen = "select count(*) from loci.progress where percent < 100 or pending > 0 or failed > 0"
    assert restored.value(unseen) == 0

    # Triggers of the watched table and of a partition that comes now.
    restored.execute("create table public.tickets_s partition of public.tickets for values in ('s')")
    with restored.connect("test_app") as connection:
        connection.execute(
            "insert into tickets (region, body, place) values ('s', 'restored south', %s)", (people.acme,)
        )
        connection.execute(
            "insert into tickets (region, body, place) values ('n', 'restored north', %s)", (people.acme,)
        )
    assert restored.value("select count(*) from loci_private.row_queue") == 2
    restored.drain()
    with restored.connect("test_app") as connection, connection.transaction():
        connection.execute("select loci.act_as(%s)", (people.bob,))
        rows = connection.execute(
            "select content from loci.search('restored', k => 5, mode => 'keyword', sources => array['tickets'])"
        ).fetchall()
    assert sorted(row["content"] for row in rows) == ["restored north", "restored south"]
    # A login that is a user still is that one.
    with restored.connect("test_eve") as connection:
        assert connection.execute("select loci.current_user_id() as id").fetchall() == [{"id": people.eve}]

    shop = replace(world.shop, db=restored, sessions={})
    try:
        assert shop.confirm(people.ada, world.waiting)["status"] == "confirmed"
        assert shop.orders("waits for its restore") == 1
        assert (
            shop.confirm(people.ada, shop.propose(people.ada, {"title": "after the restore"}))["status"] == "confirmed"
        )
        # What is redefined there is refused there, too.
        proposal = shop.propose(people.ada, {"title": "never"})
        restored.execute("alter function public.place_order(jsonb) cost 7")
        refused = shop.confirm(people.ada, proposal)
        assert (refused["status"], refused["error"]["sqlstate"]) == ("refused", "LC734")
    finally:
        for connection in shop.sessions.values():
            connection.close()


def check_jobs(restored: Database, cron: Database, names: Callable[[str], str]) -> None:
    """They are scheduled, once, in a pg_cron that works."""
    expected = {names(row["job"]): row["command"] for row in restored.rows("select * from loci.schedule_jobs()")}
    scheduled = cron.rows("select jobname, command from cron.job where database = %s and active", restored.name)
    assert len(scheduled) == len(expected) >= 8
    assert {row["jobname"]: row["command"] for row in scheduled} == expected
    assert cron.value("select count(*) from pg_stat_activity where backend_type = 'pg_cron launcher'") == 1


def test_a_dump_of_a_busy_database_restored_in_another_server_under_another_name(world: World, home: Path) -> None:
    variables = {"PATH": tools(world.server), "OLD": world.server.dsn("loci")}
    with busy(world.db, world.shop.people) as committed:
        with snapshot(world.db) as connection:
            exported = connection.execute("select pg_export_snapshot() as id").fetchone()["id"]
            before = committed()
            # Only to be able to compare: a dump takes a snapshot of its own.
            wrapper = home / "bin"
            wrapper.mkdir()
            (wrapper / "pg_dump").write_text(
                f'#!/bin/sh\nexec {world.server.settings["LOCI_PG_BIN"]}/pg_dump --snapshot={exported} "$@"\n'
            )
            (wrapper / "pg_dump").chmod(0o755)
            shell("dump", home, **{**variables, "PATH": f"{wrapper}:{variables['PATH']}"})
            wait_until(lambda: committed() > before, "something is written during the dump")
            expected = seen(connection, world.users)
    with ExitStack() as stack:
        server = stack.enter_context(LocalServer(home.parent / f"{home.name}-server", port=54550))
        new = {"NEW": server.dsn("memory"), "NEW_SERVER": server.dsn("postgres"), "CRON": server.dsn("loci")}
        shell("restore", home, **variables, **new)
        restored = Database("memory", server.dsn)
        stack.callback(restored.close)
        assert restored.value("select count(*) from loci_private.cache") == 0
        with snapshot(restored) as connection:
            assert seen(connection, world.users) == expected
        assert any(len(found[3]) > 10 for found in expected if len(found) == 4), "there was something to compare"
        assert (
            restored.value(
                "select count(*) from loci_private.actions where function_oid = 'public.place_order'::regproc"
            )
            == 0
        )
        check_the_same(restored, world)
        cron = Database("loci", server.dsn)
        stack.callback(cron.close)
        cron.execute("create extension pg_cron")
        shell("jobs", home, **variables, **new)
        # Again: nothing twice.
        shell("jobs", home, **variables, **new)
        check_jobs(restored, cron, lambda job: f"{job} in memory")
        before = restored.value("select max(chunk_id) from loci_private.chunks")
        restored.document(world.shop.people.acme, "for a job")
        wait_until(
            lambda: (
                restored.waiting() == 0 and restored.value("select max(chunk_id) from loci_private.chunks") > before
            ),
            "a job drains",
            timeout=130,
        )


def test_a_copy_of_the_files_of_a_busy_server(world: World, home: Path) -> None:
    with busy(world.db, world.shop.people) as committed:
        acknowledged = world.db.value("select array_agg(document_id) from loci.documents")
        before = committed()
        shell("basebackup", home, PATH=tools(world.server), OLD=world.server.dsn("postgres"))
        wait_until(lambda: committed() > before, "something is written during the copying")
    with ExitStack() as stack:
        started = stack.enter_context(Standby(world.server, home / "run", copy=home / "copy"))
        restored = Database("loci", started.dsn)
        stack.callback(restored.close)
        assert not restored.value("select pg_is_in_recovery()")
        assert restored.value("select count(*) from loci_private.cache") == 0
        missing = (
            "select count(*) from unnest(%s::uuid[]) as d (id) where id not in (select document_id from loci.documents)"
        )
        assert restored.value(missing, acknowledged) == 0
        check_the_same(restored, world)
        check_jobs(restored, restored, lambda job: job)
        # What is the same in both, everybody sees alike.
        with snapshot(restored) as copy, snapshot(world.db) as original:
            for user in world.users:
                found = []
                for connection in (copy, original):
                    connection.execute("select loci.act_as(%s)", (user,))
                    found.append(
                        connection.execute(
                            "select document_id from loci.documents where document_id = any(%s) order by 1",
                            (acknowledged,),
                        ).fetchall()
                    )
                assert found[0] == found[1]
