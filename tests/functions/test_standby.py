"""Search on a streaming replica: as an application user, in all modes, with nothing written anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database, connect, migrate, wait_until
from tests.servers.standby import Standby

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
KEY = "a key for tests that is longer than 32 bytes"


@pytest.fixture(scope="module")
def primary(request: pytest.FixtureRequest, own_server: Any) -> Iterator[Database]:
    if request.config.getoption("--server") != "local":
        pytest.skip("a standby is made of a server of this machine")
    migrate(own_server.dsn("loci"))
    database = Database("loci", own_server.dsn)
    if database.rows("select from pg_extension where extname = 'pg_cron'"):
        database.execute("update cron.job set active = false")
    database.execute("select loci.add_embedding_model('hash', provider => 'hash', dimensions => 64)")
    database.execute("select loci.use_embedding_model('hash')")
    database.execute("update loci.settings set value = 'env:LOCI_TEST_JWT_KEY' where name = 'jwt_key_ref'")
    database.app_role()
    yield database
    database.close()


@pytest.fixture(scope="module")
def people(primary: Database) -> Any:
    people = primary.people()
    for number in range(6):
        primary.document(people.acme, f"a light in the harbour, number {number}")
    primary.document(people.umbrella, "a light that eve alone may see")
    primary.document(people.acme, "a light for bob", audience=[people.bob])
    primary.drain()
    # Something is in the caches of the primary.
    assert primary.found(people.ada, "harbour light")
    return people


@pytest.fixture(scope="module")
def standby(primary: Database, people: Any, own_server: Any) -> Iterator[Standby]:
    with Standby(own_server, Path(os.environ["LOCI_TEST_HOME"]) / "standby") as standby:
        yield standby


@pytest.fixture
def app(primary: Database, standby: Standby) -> Iterator[Connection]:
    caught_up(primary, standby)
    with connect(standby.dsn_as(primary.app_role(), "app")) as connection:
        yield connection


def caught_up(primary: Database, standby: Standby) -> None:
    position = primary.value("select pg_current_wal_insert_lsn()::text")
    with connect(standby.dsn()) as connection:
        wait_until(
            lambda: connection.execute("select from pg_stat_wal_receiver where pg_last_wal_replay_lsn() >= %s", (position,)).rowcount,
            "the standby has caught up",
        )  # fmt: skip


def token(user: UUID) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {"sub": str(user), "exp": int(time.time()) + 600}
    signed = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims).encode())
    return signed + "." + part(hmac.new(KEY.encode(), signed.encode(), hashlib.sha256).digest())


@pytest.mark.parametrize("who", ["act_as", "login"])
@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
def test_the_same_as_on_the_primary(primary: Database, people: Any, app: Connection, mode: str, who: str) -> None:
    for user in (people.ada, people.bob, people.eve):
        expected = primary.search(user, "harbour light", mode=mode, k=10)
        assert expected
        with app.transaction():
            app.execute(f"select loci.{who}(%s)".encode(), (user if who == "act_as" else token(user),))
            for _ in range(2):
                found = app.execute(
                    "select * from loci.search('harbour light', mode => %s, k => 10)", (mode,)
                ).fetchall()
                assert found == expected


def test_nobody_named_sees_nothing(app: Connection, people: Any) -> None:
    assert app.execute("select * from loci.search('harbour light')").fetchall() == []


def test_revocation_reaches_it_with_the_log(primary: Database, people: Any, standby: Standby, app: Connection) -> None:
    def found() -> int:
        with app.transaction():
            app.execute("select loci.act_as(%s)", (people.bob,))
            return app.execute("select from loci.search('light', k => 100)").rowcount

    assert found() == 7
    primary.execute("delete from loci.organization_members where user_id = %s", people.bob)
    caught_up(primary, standby)
    assert found() == 0
    primary.execute("insert into loci.organization_members values (%s, %s)", people.acme, people.bob)
    primary.execute("delete from loci.documents where content like '%%number 5'")
    caught_up(primary, standby)
    assert found() == 6


def test_caches_are_not_there_and_say_so(people: Any, app: Connection, standby: Standby) -> None:
    with app.transaction():
        app.execute("select loci.act_as(%s)", (people.ada,))
        assert app.execute("select loci.cache_get('response', '1') as v").fetchall() == [{"v": None}]
        assert app.execute("select loci.cache_put('response', '1', '1') as v").fetchall() == [{"v": False}]
        assert app.execute("select loci.embed('light') is not null as v").fetchall() == [{"v": True}]
    with connect(standby.dsn()) as admin:
        assert admin.execute("select * from loci.cache_stats").fetchall() == []


def test_bad_arguments_and_writes_are_refused_as_ever(people: Any, app: Connection) -> None:
    with app.transaction():
        app.execute("select loci.act_as(%s)", (people.ada,))
        with pytest.raises(psycopg.Error) as caught, app.transaction():
            app.execute("select * from loci.search('light', mode => 'magic')")
        assert caught.value.sqlstate == "LC303"
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), app.transaction():
            app.execute("insert into loci.documents (scope_id, content) values (%s, 'x')", (people.ada,))


def test_a_dba_looks_at_a_standby(standby: Standby, primary: Database, people: Any) -> None:
    with connect(standby.dsn("loci")) as connection:
        severities = {row["severity"] for row in connection.execute("select * from loci.doctor()").fetchall()}
        assert severities <= {"ok", "note"}
        row = connection.execute("select loci.metrics() as text, loci.observe('mine_total') as noted").fetchone()
        assert row is not None
        assert "queue_depth" in row["text"]
        assert row["noted"] is False
