"""Drains with a real gateway that misbehaves: what it does is its own state, and never the rows' or the application's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from tests.database import Database, People, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer, vector_of
from tests.pipeline.background import activity, background, leased

NOON = datetime(2031, 5, 6, 12, 0, 0, tzinfo=UTC)
KEY = "sk-drain-9a4be17c03d58f62"


class World:
    """A database whose rows are embedded through the faulty gateway; its clock stands at noon."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.server: FaultServer
        self.key_file: str
        self.people: People = db.people()
        db.execute("select loci.add_embedding_model('remote', dimensions => 8)")
        db.execute("select loci.use_embedding_model('remote')")
        self.model = db.value("select model_id from loci.embedding_models where name = 'remote'")

    def begin(self, server: FaultServer, key_file: str) -> None:
        """As if it were new."""
        self.server = server
        self.key_file = key_file
        self.db.execute("truncate loci.documents")
        for table in (
            "row_queue", "embed_queue", "failures", "chunks", "source_rows", "model_health", "model_usage",
            f"embeddings_{self.model}",
        ):  # fmt: skip
            self.db.execute(f"truncate loci_private.{table} cascade")
        self.db.forget_requests()
        self.db.execute("update loci.embedding_models set max_batch = 100, max_tokens = 8191 where name = 'remote'")
        self.limit()
        self.at(0)

    def limit(self, **changes: Any) -> None:
        """Set the gateway up again, with these limits."""
        limits = {"requests_per_minute": 100000, "timeout_seconds": 10, "max_concurrency": 5, **changes}
        given = ", ".join(f"{name} => {value}" for name, value in limits.items())
        self.db.execute(
            f"select loci.add_gateway('default', %s, %s, {given})", self.server.base_url, f"file:{self.key_file}"
        )

    def small_batches(self, size: int = 1) -> None:
        self.db.execute("update loci.embedding_models set max_batch = %s where name = 'remote'", size)

    def documents(self, *texts: str) -> None:
        for text in texts:
            self.db.document(self.people.acme, text)

    def at(self, seconds: float) -> None:
        """Stop Loci's clock at so many seconds after noon."""
        self.db.set_clock((NOON + timedelta(seconds=seconds)).isoformat())

    def drain(self, seconds: int = 30) -> None:
        self.db.drain(seconds)

    @property
    def queue(self) -> list[dict[str, Any]]:
        return self.db.rows("select attempts, lease, last_error from loci_private.embed_queue order by queue_id")

    @property
    def untouched(self) -> int | None:
        """How many texts wait as if nobody had ever tried them; None when some do not."""
        rows = self.db.rows(
            "select attempts = 0 and lease is null and leased_at is null and last_error is null "
            "and available_at = '-infinity' as untouched from loci_private.embed_queue"
        )
        return len(rows) if all(row["untouched"] for row in rows) else None

    @property
    def embedded(self) -> set[str]:
        return {
            row["content"]
            for row in self.db.rows(
                f"select c.content from loci_private.chunks as c "
                f"join loci_private.embeddings_{self.model} as e on e.chunk_id = c.chunk_id"
            )
        }

    @property
    def health(self) -> dict[str, Any] | None:
        rows = self.db.rows("select * from loci_private.model_health")
        return rows[0] if rows else None

    def failures(self, state: str) -> list[dict[str, Any]]:
        return self.db.rows("select * from loci.failures where state = %s", state)

    def status(self) -> dict[str, Any]:
        (row,) = self.db.rows("select ok, detail, since from loci.status() where component = 'model'")
        return row


@pytest.fixture(scope="module")
def key_file(file_on_server: Callable[[str], str]) -> str:
    return file_on_server(KEY + "\n")


@pytest.fixture(scope="module")
def only_world(db: Database) -> World:
    return World(db)


@pytest.fixture
def world(only_world: World, fault_server: FaultServer, key_file: str) -> World:
    only_world.begin(fault_server, key_file)
    return only_world


# --- the way it should be ---------------------------------------------------------------------------------------------


def test_rows_are_embedded_and_found(world: World) -> None:
    world.server.always(faults.ok(headers={"x-litellm-response-cost": "0.001"}))
    world.documents("the harbour at night", "the harbour at night", "apples and pears")
    world.drain()
    assert world.embedded == {"the harbour at night", "apples and pears"}
    assert world.db.waiting() == 0
    # The same text twice is one text.
    assert world.server.sizes == [2]
    assert world.server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    stored = world.db.value(
        f"select e.embedding::text from loci_private.embeddings_{world.model} as e "
        "join loci_private.chunks as c on c.chunk_id = e.chunk_id where c.content like 'apples%%'"
    )
    assert json.loads(stored) == pytest.approx(vector_of("apples and pears", 8), abs=1e-3)
    assert {row["content"] for row in world.db.search(world.people.ada, "apples and pears", mode="vector", k=1)} == {
        "apples and pears"
    }
    (usage,) = world.db.rows("select requests, texts, tokens, cost_usd from loci.embedding_usage")
    assert {name: float(value) for name, value in usage.items()} == {
        "requests": 1, "texts": 2, "tokens": 7, "cost_usd": 0.001,
    }  # fmt: skip
    assert world.health is None and world.status()["ok"]
    world.documents("one more")
    world.drain()
    assert world.db.value("select requests from loci.embedding_usage") == 2


def test_many_texts_go_side_by_side(world: World) -> None:
    world.small_batches(10)
    world.server.always(faults.after(0.1))
    world.documents(*(f"text number {n}" for n in range(120)))
    world.drain()
    assert len(world.embedded) == 120
    assert world.server.most_in_flight == 5
    assert max(world.server.sizes) == 10


# --- law 1, law 5: nothing is held, a cancel works ----------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [faults.hang, faults.trickle(0.05)])
def test_nothing_is_held_while_the_gateway_is_called(world: World, behaviour: faults.Behaviour) -> None:
    world.limit(timeout_seconds=60)
    world.server.always(behaviour)
    world.documents("one", "two")
    with background(world.db) as drain:
        wait_until(lambda: world.server.in_flight, "the gateway is being called")
        seen = []
        for _ in range(40):
            found = activity(world.db, drain.pid)
            assert found is not None
            seen.append((found["backend_xid"], found["backend_xmin"], found["locks"]))
            time.sleep(0.025)
        # The moment of a heartbeat may be caught, but never a transaction that lasts.
        assert seen.count((None, None, [])) >= 37
        assert all(xid is None for xid, _, _ in seen)
        world.db.execute("select pg_cancel_backend(%s)", drain.pid)
        cancelled = time.monotonic()
        drain.wait(20)
        assert time.monotonic() - cancelled < 30, "half of what the gateway is given"
        assert isinstance(drain.error, psycopg.errors.QueryCanceled)
    assert world.untouched == 2 and leased(world.db, "embed_queue") == 0
    wait_until(lambda: world.server.connections == 0, "its connections are closed")
    world.server.always(faults.ok())
    world.drain()
    assert world.embedded == {"one", "two"}


def test_a_hung_gateway_costs_no_more_than_its_time_out(world: World) -> None:
    world.small_batches(1)
    world.limit(timeout_seconds=5, max_concurrency=1)
    world.server.always(faults.hang)
    world.documents(*(f"text {n}" for n in range(5)))
    started = time.monotonic()
    world.drain(4)
    assert time.monotonic() - started < 4 * 5, "once, not for each text"
    assert world.untouched == 5
    # Also without time to find out more it is known that something is wrong.
    assert world.health is not None and world.health["outages"] == 1


# --- law 4: overload and outages are the gateway's ----------------------------------------------------------------------


def test_a_storm_of_429_costs_no_attempts(world: World) -> None:
    world.server.always(faults.status(429, retry_after="30"))
    world.documents(*(f"text {n}" for n in range(12)))
    world.drain()
    requests = len(world.server.requests)
    assert 1 <= requests <= 5
    assert world.untouched == 12
    (waiting,) = world.failures("waiting")
    assert (waiting["stage"], waiting["model"], waiting["code"]) == ("gateway", "remote", "LC401")
    assert waiting["next_attempt"] == NOON + timedelta(seconds=30)
    assert not world.status()["ok"] and "LC401" in world.status()["detail"]
    world.at(29)
    world.drain()
    assert len(world.server.requests) == requests
    world.at(31)
    world.drain()
    # Half open: one text.
    assert world.server.sizes[requests:] == [1]
    assert world.untouched
    world.server.always(faults.ok())
    world.at(62)
    world.drain()
    # And not all of the rest at once.
    assert world.server.sizes[requests + 1 :] == [1, 2, 4, 5]
    assert len(world.embedded) == 12 and world.health is None and world.failures("waiting") == []


def test_429_with_retry_after_0_is_no_invitation_to_hammer(world: World) -> None:
    world.server.always(faults.status(429, retry_after="0"))
    world.documents("one")
    world.drain()
    assert len(world.server.requests) == 1
    assert world.health is not None and world.health["cooldown_until"] == NOON + timedelta(seconds=1)


def test_a_drain_waits_for_a_short_cooldown(world: World) -> None:
    world.db.set_clock(None)
    world.server.then(faults.status(429, retry_after="1"))
    world.documents("one", "two")
    world.drain()
    assert world.embedded == {"one", "two"} and world.health is None
    assert [len(request.texts) for request in world.server.requests] == [2, 1, 1]


@pytest.mark.parametrize(
    "behaviour", [faults.status(500), faults.reset, faults.truncated, faults.body(b"<html>", content_type="text/html")]
)
def test_outage_circuit_recovery(world: World, behaviour: faults.Behaviour) -> None:
    now = 0.0
    world.at(now)
    world.server.always(behaviour)
    world.documents(*(f"text {n}" for n in range(30)))
    world.drain()
    # The request, and a harmless one to be sure.
    assert world.server.sizes == [30, 1]
    assert world.untouched == 30
    waits = []
    for outage in range(1, 6):
        assert world.health is not None and world.health["outages"] == outage
        wait = (world.health["cooldown_until"] - NOON).total_seconds() - now
        waits.append(wait)
        world.server.requests.clear()
        world.drain()
        assert world.server.requests == [], "the circuit is open"
        now += wait
        world.at(now)
        world.drain()
        assert world.server.sizes == [1, 1]
    assert waits[-1] > waits[0] * 3 and max(waits) <= 300
    assert all(row["attempts"] == 0 for row in world.queue)
    assert world.health is not None and world.health["since"] == NOON
    world.server.always(faults.ok())
    world.at(now + 400)
    world.server.requests.clear()
    world.drain()
    assert world.server.sizes[0] == 1 and world.health is None
    # Those that were sent alone are waited for a while longer.
    world.at(now + 1500)
    world.drain()
    assert len(world.embedded) == 30 and world.db.waiting() == 0
    assert world.db.rows("select * from loci.failures") == []


def test_nobody_listens(world: World) -> None:
    world.server.stop()
    world.documents("one")
    started = time.monotonic()
    world.drain(60)
    assert time.monotonic() - started < 50
    assert world.untouched
    (waiting,) = world.failures("waiting")
    assert waiting["code"] == "LC402"


# --- law 3: one bad text ------------------------------------------------------------------------------------------------


def test_a_rejected_text_is_parked_and_the_others_are_embedded(world: World) -> None:
    world.server.when("poison", faults.echo_texts(400))
    world.documents(*(f"text {n}" for n in range(40)), "a poisonous text: poison", *(f"more {n}" for n in range(40)))
    world.drain()
    assert len(world.embedded) == 80
    (parked,) = world.failures("parked")
    assert (parked["stage"], parked["code"], parked["attempts"]) == ("embed", "LC406", 1)
    assert world.db.waiting() == 0 and world.health is None
    # What it is about is nobody's business who reads the failures.
    assert "poisonous" not in str(world.db.rows("select * from loci.failures"))
    assert world.server.count("poison") == 3
    world.server.clear()
    assert world.db.value("select loci.retry_failures()") == 1
    world.drain()
    assert len(world.embedded) == 81 and world.db.rows("select * from loci.failures") == []


@pytest.mark.parametrize("behaviour", [faults.status(500), faults.reset, faults.changed(lambda data: [])])
def test_a_text_the_server_fails_at_is_parked_after_its_attempts(world: World, behaviour: faults.Behaviour) -> None:
    world.server.when("poison", behaviour)
    world.documents("poison", "good")
    for hour in range(1, 4):
        world.drain()
        assert world.embedded == {"good"}
        (retrying,) = world.failures("retrying")
        assert retrying["attempts"] == hour
        assert world.health is None
        world.at(hour * 4000)
    world.drain()
    (parked,) = world.failures("parked")
    assert parked["attempts"] == 4 and world.db.waiting() == 0


def test_a_text_that_brings_the_server_down_does_not_block_the_queue(world: World) -> None:
    """While it is down nothing tells this text from any other."""
    down = False

    def crash(exchange: faults.Exchange) -> None:
        nonlocal down
        down = True
        exchange.reset()

    def unless_down(exchange: faults.Exchange) -> None:
        faults.status(503)(exchange) if down else faults.ok()(exchange)

    world.server.when("poison", crash)
    world.server.always(unless_down)
    world.documents(*(f"good {n}" for n in range(20)), "poison", *(f"good {n}" for n in range(20, 40)))
    now = 0.0
    for _ in range(8):
        down = False
        world.at(now)
        world.drain()
        now += 310
    assert world.embedded == {f"good {n}" for n in range(40)}
    (retrying,) = world.failures("retrying")
    assert retrying["attempts"] == 0
    # Each time with fewer others beside it, and in the end alone and more rarely.
    assert world.server.count("poison") <= 7


def test_texts_that_are_too_long(world: World) -> None:
    world.server.always(faults.status(429, retry_after="60"))
    world.documents("short", "word " * 60)
    world.drain()
    # Another model stands behind this name now.
    world.db.execute("update loci.embedding_models set max_tokens = 16 where name = 'remote'")
    world.server.always(faults.ok())
    world.at(70)
    world.drain()
    assert world.embedded == {"short"}
    assert [row["code"] for row in world.failures("parked")] == ["LC230"]
    assert world.db.waiting() == 0


# --- a gateway that is not set up for it --------------------------------------------------------------------------------


MISCONFIGURED: dict[str, tuple[faults.Behaviour, str]] = {
    "wrong dimension": (faults.dimensions(7), "LC232"),
    "NaN": (faults.changed(lambda data: [{**item, "embedding": [float("nan")] * 8} for item in data]), "LC233"),
    "credentials": (faults.echo_key(401), "LC404"),
    "unknown model": (faults.status(404), "LC405"),
    "rejects everything": (faults.status(400, "Invalid model name"), "LC406"),
    "redirect": (faults.redirect("http://127.0.0.1:9/v1/embeddings"), "LC405"),
}


@pytest.mark.parametrize("name", MISCONFIGURED)
def test_a_gateway_that_serves_nothing_costs_no_attempts(world: World, name: str) -> None:
    behaviour, sqlstate = MISCONFIGURED[name]
    world.server.always(behaviour)
    world.documents(*(f"text {n}" for n in range(20)))
    world.drain()
    assert world.embedded == set()
    assert world.untouched == 20
    (waiting,) = world.failures("waiting")
    assert (waiting["stage"], waiting["model"], waiting["code"]) == ("gateway", "remote", sqlstate)
    assert sqlstate in world.status()["detail"] and not world.status()["ok"]
    # Setting it right is all there is to do.
    world.server.always(faults.ok())
    world.limit()
    world.drain()
    assert len(world.embedded) == 20 and world.status()["ok"]


@pytest.mark.parametrize(("reference", "sqlstate"), [("env:LOCI_NO_SUCH_KEY", "LC121"), (None, "LC400")])
def test_a_gateway_without_key_or_address(world: World, reference: str | None, sqlstate: str) -> None:
    if reference is None:
        world.db.execute("update loci_private.gateways set base_url = null")
    else:
        world.db.execute("select loci.add_gateway('default', %s, %s)", world.server.base_url, reference)
    world.documents("one")
    world.drain()
    assert world.untouched and world.server.requests == []
    assert [row["code"] for row in world.failures("waiting")] == [sqlstate]


# --- applications -------------------------------------------------------------------------------------------------------


def said_by(world: World, sql: str, *parameters: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and notices of a statement of an application that acts for ada."""
    notices: list[str] = []
    with world.db.acting(world.people.ada) as connection:
        connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
        rows = connection.execute(cast(LiteralString, sql), parameters).fetchall()
    return rows, notices


def test_applications_notice_nothing_of_a_gateway_that_hangs(world: World) -> None:
    world.documents("the lighthouse keeper")
    world.drain()
    world.limit(timeout_seconds=3)
    world.server.always(faults.hang)
    world.server.requests.clear()
    world.documents(*(f"lighthouse number {n}" for n in range(20)))
    assert world.server.requests == [], "an INSERT asks nobody"
    world.drain(1)
    assert world.health is not None
    world.db.execute("update loci_private.model_health set cooldown_until = loci_private.now() + interval '1 hour'")
    world.server.requests.clear()
    rows, notices = said_by(world, "select content from loci.search('lighthouse', k => 100)")
    assert len(rows) == 21 and len(notices) == 1 and "out of order" in notices[0]
    with pytest.raises(psycopg.Error) as failed:
        said_by(world, "select * from loci.search('lighthouse', mode => 'vector')")
    assert failed.value.sqlstate == "LC409"
    with pytest.raises(psycopg.Error) as failed:
        said_by(world, "select loci.embed('lighthouse')")
    assert failed.value.sqlstate == "LC409"
    assert world.server.requests == [], "they did not even try"
    # Half open: it may be tried, but nowhere near as long as a drain would wait.
    world.db.execute("update loci_private.gateways set timeout_seconds = 100")
    world.db.execute("update loci_private.model_health set cooldown_until = loci_private.now()")
    started = time.monotonic()
    rows, notices = said_by(world, "select content from loci.search('lighthouse', k => 100)")
    assert len(rows) == 21 and "in time" in notices[0]
    assert time.monotonic() - started < 50


def test_a_gateway_that_only_asks_to_slow_down_is_asked_questions(world: World) -> None:
    world.documents("the lighthouse keeper")
    world.drain()
    world.server.then(faults.status(429, retry_after="3000"))
    world.documents("another one")
    world.drain()
    assert world.health is not None
    rows, notices = said_by(world, "select content from loci.search('the lighthouse keeper', mode => 'vector', k => 1)")
    assert [row["content"] for row in rows] == ["the lighthouse keeper"] and notices == []


def test_a_question_is_sent_once(world: World) -> None:
    world.documents("the lighthouse keeper")
    world.drain()
    world.server.clear()
    world.server.always(faults.status(500))
    _, notices = said_by(world, "select content from loci.search('lighthouse')")
    assert len(world.server.requests) == 1 and len(notices) == 1


# --- limits -------------------------------------------------------------------------------------------------------------


def test_two_drains_share_the_requests_of_a_minute(world: World) -> None:
    world.at(10)
    world.small_batches(1)
    world.limit(requests_per_minute=7)
    world.server.always(faults.after(0.05))
    world.documents(*(f"text {n}" for n in range(20)))
    with background(world.db, "call loci.drain(30)") as one, background(world.db, "call loci.drain(30)") as other:
        one.finish()
        other.finish()
    assert len(world.server.requests) == 7 and len(world.embedded) == 7
    assert world.untouched == 13
    # Nothing is wrong.
    assert world.db.rows("select * from loci.failures") == [] and world.status()["ok"]
    assert world.health is not None and world.health["cooldown_until"] == NOON + timedelta(minutes=1)
    # Questions are not kept waiting by that.
    rows, notices = said_by(world, "select * from loci.search('text 1', mode => 'vector')")
    assert rows and notices == []
    world.server.requests.clear()
    world.at(61)
    world.drain()
    assert len(world.server.requests) == 7
    world.at(121)
    world.drain()
    assert len(world.embedded) == 20 and world.db.waiting() == 0


def test_a_drain_goes_on_in_the_next_minute(world: World) -> None:
    world.small_batches(1)
    world.limit(requests_per_minute=3)
    # A clock that goes, and stands two seconds before the end of a minute now.
    offset = world.db.value("select 58 - extract(second from clock_timestamp())")
    world.db.execute(
        "create or replace function loci_private.now() returns timestamptz language sql volatile parallel restricted "
        f"as $$ select pg_catalog.clock_timestamp() + make_interval(secs => {offset}) $$"
    )
    world.documents(*(f"text {n}" for n in range(5)))
    world.drain(30)
    assert len(world.embedded) == 5 and world.db.waiting() == 0


# --- the key ------------------------------------------------------------------------------------------------------------


def test_the_key_is_nowhere(world: World, request: pytest.FixtureRequest) -> None:
    pieces = [KEY[start : start + 8] for start in range(3, len(KEY) - 7)]

    def clean(text: str) -> bool:
        return not any(piece in text for piece in pieces)

    world.documents("one", "two")
    said = []
    for behaviour in (faults.echo_key(401), faults.echo_key(400), faults.echo_key(500), faults.echo_key(429)):
        world.server.always(behaviour)
        world.limit()
        world.drain()
        said.append(str(world.db.rows("select * from loci.failures")))
        said.append(str(world.db.rows("select * from loci.status()")))
        said.append(str(world.db.rows("select * from loci.check_model('remote')")))
        world.limit()
        with pytest.raises(psycopg.Error) as failed:
            said_by(world, "select loci.embed('one')")
        said.append(f"{failed.value} {failed.value.diag.message_detail} {failed.value.diag.context}")
    world.server.when("hang", faults.hang)
    world.server.always(faults.ok())
    world.limit()
    world.documents("hang")
    with background(world.db) as drain:
        wait_until(lambda: world.server.count("hang"), "the gateway is being called")
        said.append(str(world.db.rows("select * from pg_stat_activity where pid = %s", drain.pid)))
    for table in world.db.rows(
        "select c.oid::regclass::text as name from pg_class as c "
        "where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind in ('r', 'p', 'v')"
    ):
        said.append(str(world.db.rows(f"select t::text from {table['name']} as t")))
    if request.config.getoption("--server") == "local":
        log = Path(os.environ["LOCI_TEST_HOME"]) / "server" / "postgresql.log"
        said.append(log.read_text(errors="replace"))
        assert "remote" in "".join(said)
    assert all(clean(text) for text in said)
    # It did go out, so there was something to be found.
    assert any(KEY in sent.headers.get("authorization", "") for sent in world.server.requests)


# --- check_model ----------------------------------------------------------------------------------------------------------


def check(world: World, name: str) -> dict[str, Any]:
    (row,) = world.db.rows("select * from loci.check_model(%s)", name)
    return row


def test_check_model(world: World) -> None:
    world.server.always(faults.after(0.2))
    found = check(world, "remote")
    assert (found["dimensions"], found["ok"], found["error"]) == (8, True, None)
    assert 200 <= found["latency_ms"] < 3000
    assert len(world.server.requests) == 1
    found = check(world, "hash")
    assert (found["dimensions"], found["ok"], found["error"]) == (256, True, None)
    found = check(world, "multilingual-e5-small")
    assert (found["dimensions"], found["ok"], found["error"]) == (384, True, None)
    with pytest.raises(psycopg.Error) as failed:
        check(world, "no such model")
    assert failed.value.sqlstate == "LC214"


@pytest.mark.parametrize("name", [*MISCONFIGURED, "hang", "429", "500"])
def test_check_model_says_what_is_wrong(world: World, name: str) -> None:
    others = {
        "hang": (faults.hang, "LC403"),
        "429": (faults.status(429), "LC401"),
        "500": (faults.status(500), "LC402"),
    }
    behaviour, sqlstate = {**MISCONFIGURED, **others}[name]
    world.limit(timeout_seconds=1)
    world.server.always(behaviour)
    found = check(world, "remote")
    assert found["ok"] is False and found["dimensions"] is None and found["latency_ms"] > 0
    assert found["error"].startswith(sqlstate)
    assert len(world.server.requests) == 1


def test_who_may_check_models(world: World) -> None:
    for role, allowed in (("loci_monitor", True), ("loci_admin", True), ("loci_app", False)):
        with world.db.connect(world.db.login_role("checker", role)) as connection:
            if allowed:
                checked = connection.execute("select ok, error from loci.check_model('remote')").fetchone()
                assert checked == {"ok": True, "error": None}
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("select ok from loci.check_model('remote')")
