"""Events in the server's log: a line of JSON each, off by default, and nothing that a row says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Database
from tests.servers.local_server import LocalServer

SECRET = "the vault opens with 4711"


@pytest.fixture(scope="module")
def server_log(container: Any) -> Callable[[], str]:
    """All that the server has logged."""
    if container is not None:
        return lambda: str(container.logs().decode(errors="replace"))
    path = Path(LocalServer(Path(os.environ["LOCI_TEST_HOME"]) / "server").settings["LOCI_LOG"])
    return lambda: path.read_text(errors="replace")


@pytest.fixture
def logging(db: Database) -> Iterator[Database]:
    db.execute("update loci.settings set value = 'true' where name = 'log_events'")
    yield db
    db.execute("update loci.settings set value = null where name = 'log_events'")


def events(db: Database, log: str) -> list[dict[str, Any]]:
    lines = [line.partition("LOG:  loci ")[2] for line in log.splitlines()]
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [event for event in found if event["database"] == db.name]


def test_off_by_default(db: Database, server_log: Callable[[], str]) -> None:
    db.drain()
    db.execute("select loci.reconcile()")
    assert events(db, server_log()) == []


def test_only_administrators_turn_it_on(db: Database) -> None:
    statement = "update loci.settings set value = 'true' where name = 'log_events'"
    for role in (db.app_role(), db.login_role("log_monitor", "loci_monitor")):
        with db.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    with (
        db.connect(db.login_role("log_admin", "loci_admin")) as connection,
        connection.transaction(force_rollback=True),
    ):
        assert connection.execute(statement).rowcount == 1


def test_jobs_outages_calls_evictions_and_erasures(logging: Database, server_log: Callable[[], str]) -> None:
    db = logging
    people = db.people()
    db.execute("call loci.drain()")
    for job in (
        "loci.reconcile()",
        "loci_private.job_calls()",
        "loci_private.close_turns()",
        "loci_private.sweep_memories()",
    ):
        db.execute(f"select {job}")
    model = db.value("select model_id from loci.embedding_models where name = 'hash'")
    db.execute("select loci_private.cool_down(%s, null, %s)", model, Jsonb({"message": SECRET, "sqlstate": "LC401"}))
    db.execute("select loci_private.recovered(%s)", model)
    request = db.value("select gen_random_uuid()")
    db.execute(
        "select loci_private.write_calls(%s)",
        Jsonb(
            [
                {
                    "call_id": str(db.value("select gen_random_uuid()")),
                    "request_id": str(request),
                    "called_at": float(db.value("select extract(epoch from now())")),
                    "purpose": "chat",
                    "gateway": "default",
                    "model": "gpt",
                    "fallback": False,
                    "status": "ok",
                    "cost_estimated": False,
                    "trace_id": "0af7651916cd43dd8448eb211c80319c",
                }
            ]
        ),
    )
    db.execute("update loci.settings set value = '1' where name = 'memory_capacity_user'")
    with db.acting(people.ada) as connection:
        # Also for a client that asks for everything, and that a server is told to log.
        connection.execute("set client_min_messages = debug1")
        notices: list[Any] = []
        connection.add_notice_handler(notices.append)
        for n in range(3):
            connection.execute("select loci.remember(%s)", (f"{SECRET}, part {n}",), prepare=False)
        assert not [n for n in notices if "loci {" in (n.message_primary or "")]
    db.execute("update loci.settings set value = null where name = 'memory_capacity_user'")
    document = db.document(people.acme, SECRET)
    db.drain()
    with db.connect() as connection:
        connection.execute("select loci.forget_user(%s)", (people.ada,))
    log = server_log()
    found = events(db, log)
    assert {e["job"] for e in found if e["event"] == "job"} >= {
        "loci drain",
        "loci reconcile",
        "loci calls",
        "loci turns",
        "loci memories",
    }
    by_event = {e["event"]: e for e in found}
    assert set(by_event) == {"job", "gateway outage", "gateway recovered", "call", "eviction", "erasure"}
    assert by_event["gateway outage"]["sqlstate"] == "LC401"
    assert by_event["gateway recovered"]["outages"] == 1
    assert by_event["call"]["request_id"] == str(request)
    assert by_event["call"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert by_event["eviction"] | {"of": "memories", "scope_id": str(people.ada), "count": 1} == by_event["eviction"]
    assert by_event["erasure"]["kind"] == "user"
    assert all({"at", "pid", "database", "transaction"} <= set(e) for e in found)
    assert document
    assert SECRET not in log


def test_the_running_statement_stays_out_of_the_log(logging: Database, server_log: Callable[[], str]) -> None:
    """LOG counts as worse than an error where it is decided whether to log the statement as well."""
    db = logging
    with db.connect() as connection:
        connection.execute("set log_min_error_statement = debug5")
        connection.execute(f"select loci_private.note_erasure('source', 'x', true, '{{}}') /* {SECRET} here */")
    log = server_log()
    assert events(db, log)[-1]["event"] == "erasure"
    assert f"{SECRET} here" not in log


def test_a_line_is_a_line(logging: Database, server_log: Callable[[], str]) -> None:
    db = logging
    db.execute("select loci_private.log_event('job', %s)", Jsonb({"job": 'a\nLOG:  loci {"event": "forged"}'}))
    assert "forged" not in {e["event"] for e in events(db, server_log())}
