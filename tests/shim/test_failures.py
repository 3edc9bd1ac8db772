"""Whatever goes away in the middle of an answer, what has come is stored, and its cost is counted."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.database import Database, migrate, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import Behaviour, FaultServer
from tests.shim.conftest import Client, Shim, World, data_of, text_of, token


def next_text(events: Iterator[Any]) -> str:
    return str(json.loads(next(events).data)["content"])


@contextmanager
def at_once(act: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run it beside the test; what it returned or raised is in the list at the end."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(act())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield found
    thread.join(60)
    assert not thread.is_alive()


# --- the client -----------------------------------------------------------------------------------------------------------


def test_a_client_that_hangs_up(client: Client, world: World, gate: threading.Event) -> None:
    world.server.then(faults.streams("Half of ", "it", gate, " and the rest."))
    conversation = world.conversation()
    with client.streaming(conversation) as events:
        assert next_text(events) + next_text(events) == "Half of it"
    assert world.answered(conversation, "cancelled") == "Half of it"
    # The model is not left talking to nobody.
    wait_until(lambda: world.server.in_flight == 0, "the gateway is hung up on")
    (call,) = world.calls
    assert call["status"] == "cancelled" and call["cost_usd"] > 0
    assert world.messages(conversation)[1][2] == "cancelled"


def test_a_client_that_hangs_up_before_the_first_word(client: Client, world: World, gate: threading.Event) -> None:
    world.server.then(faults.streams(gate))
    conversation = world.conversation()
    with client.streaming(conversation):
        wait_until(lambda: world.server.in_flight == 1, "the gateway is asked")
    assert world.answered(conversation, "cancelled") == ""


def test_a_client_of_json_that_hangs_up(client: Client, world: World, gate: threading.Event) -> None:
    world.server.then(faults.streams("Half", gate))
    conversation = world.conversation()
    with socket.create_connection(("127.0.0.1", client.shim.port)) as raw:
        body = b'{"content": "Where?"}'
        raw.sendall(
            f"POST /v1/conversations/{conversation}/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {token(world.people.ada)}\r\n\r\n".encode()
            + body
        )
        wait_until(lambda: world.server.sent > 0, "the model speaks")
    assert world.answered(conversation, "cancelled") in ("", "Half")


def test_a_reader_who_does_not_read(new_client: Callable[..., Client], world: World) -> None:
    """The gateway is read no faster than the client reads; who takes nothing at all is gone in the end."""
    client = new_client(shim_stall_seconds=1, shim_max_reply_chars=100_000_000)
    piece = "x" * 10_000
    world.server.then(faults.streams(*[piece] * 5_000))
    conversation = world.conversation()
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", client.shim.port))
        body = b'{"content": "Talk.", "stream": true}'
        raw.sendall(
            f"POST /v1/conversations/{conversation}/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {token(world.people.ada)}\r\n\r\n".encode()
            + body
        )
        stored = world.answered(conversation, "cancelled")
    # What sockets hold on the way is a few megabytes; everything would be fifty.
    assert 0 < len(stored) < 20_000_000 and world.server.sent < 30_000_000


# --- the gateway --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [faults.reset, lambda e: e.close(), faults.stream_ends, faults.stream_fails],
    ids=["reset", "cut", "ends", "says"],
)
def test_a_gateway_that_breaks_off(client: Client, world: World, end: Behaviour) -> None:
    world.server.then(faults.streams("Half of ", "it", end=end))
    conversation = world.conversation()
    events = client.events(conversation)
    assert text_of(events) == "Half of it"
    (error,) = data_of(events, "error")
    assert error["code"] == "LC402" and error["status"] == 502 and "/srv" not in json.dumps(error)
    assert data_of(events, "done")[0]["status"] == "failed" and events[-1].event == "done"
    assert world.answered(conversation, "failed") == "Half of it"
    (call,) = world.calls
    assert (call["status"], call["sqlstate"]) == ("error", "LC402")


@pytest.mark.parametrize(
    ("behaviour", "code", "status"),
    [
        (faults.status(429, retry_after="7"), "LC401", 503),
        (faults.status(500, "secret things at /srv"), "LC402", 502),
        (faults.echo_key(401), "LC404", 502),
        (faults.status(404), "LC405", 502),
        (faults.status(400), "LC406", 502),
        (faults.redirect("http://127.0.0.1:9/"), "LC405", 502),
        (faults.no_http, "LC402", 502),
        (faults.reset, "LC402", 502),
        (faults.streams(), "LC511", 502),
        (faults.streams(" \n"), "LC511", 502),
        (faults.body(b"data: nonsense\n\n", content_type="text/event-stream"), "LC407", 502),
        (faults.body(b"data: [1]\n\n", content_type="text/event-stream"), "LC407", 502),
        (faults.body(b'data: {"choices": "x"}\n\n', content_type="text/event-stream"), "LC407", 502),
    ],
)
def test_a_gateway_that_refuses(client: Client, world: World, behaviour: Behaviour, code: str, status: int) -> None:
    world.server.then(behaviour)
    conversation = world.conversation()
    answer = client.ask(conversation)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == ("7" if code == "LC401" else None)
    assert "srv" not in answer.text and "sk-" not in answer.text and "127.0.0.1" not in answer.text
    world.answered(conversation, "failed")
    assert [call["sqlstate"] for call in world.calls] == [code]
    # The next question finds the conversation open for it.
    world.server.then(faults.streams("Here."))
    assert client.ask(conversation).status_code == 200


def test_the_other_model_is_asked(client: Client, world: World) -> None:
    world.db.execute("update loci.settings set value = 'second' where name = 'chat_fallback_model'")
    world.server.then(faults.status(500), faults.streams("Here."))
    answer = client.ask(world.conversation()).json()
    assert (answer["content"], answer["model"]) == ("Here.", "second")
    assert [request.body["model"] for request in world.server.requests] == ["first", "second"]
    assert sorted((call["model"], call["status"]) for call in world.calls) == [("first", "error"), ("second", "ok")]
    # Once: and never after something was said.
    world.server.clear()
    world.server.then(faults.status(500), faults.status(500))
    assert client.ask(world.conversation()).json()["code"] == "LC402"
    world.server.then(faults.streams("Half", end=faults.reset))
    assert text_of(client.events(world.conversation())) == "Half" and len(world.server.requests) == 3


def test_a_turn_that_takes_too_long(new_client: Callable[..., Client], world: World, gate: threading.Event) -> None:
    client = new_client(shim_turn_seconds=1)
    world.server.then(faults.streams("Half", gate))
    conversation = world.conversation()
    events = client.events(conversation)
    assert text_of(events) == "Half" and data_of(events, "error")[0]["code"] == "LC403"
    assert world.answered(conversation, "failed") == "Half"


# --- the shim -----------------------------------------------------------------------------------------------------------------


def test_a_graceful_end(new_client: Callable[..., Client], world: World, gate: threading.Event) -> None:
    client = new_client()
    shim: Shim = client.shim
    world.server.then(faults.streams("First. ", gate, "Second."))
    conversation = world.conversation()
    with client.streaming(conversation) as events:
        assert next_text(events) == "First. "
        shim.terminate()

        def refuses() -> bool:
            try:
                return httpx.get(f"{shim.url}/healthz").status_code != 200
            except httpx.TransportError:
                return True

        wait_until(refuses, "nobody new is let in")
        gate.set()
        assert [event.event for event in events] == ["message", "usage", "done"]
    assert shim.process.wait(30) in (0, -signal.SIGTERM)
    assert world.answered(conversation, "complete") == "First. Second."
    assert "stopped" in [line["event"] for line in shim.log]


def test_a_shim_that_is_killed(new_client: Callable[..., Client], world: World, gate: threading.Event) -> None:
    """Nobody is left to say what came; the job closes the turn, and what it may have cost counts."""
    client = new_client()
    world.server.then(faults.streams("Half", gate))
    conversation = world.conversation()
    db = world.db
    with client.streaming(conversation) as events:
        next(events)
        client.shim.kill()
    assert db.value("select status from loci_private.turns") == "open"
    assert client_refused(world, conversation) == "LC705"
    now = db.value("select now() + interval '11 minutes'")
    db.set_clock(str(now))
    try:
        db.execute("select loci_private.close_turns()")
        assert db.value("select status from loci_private.turns") == "abandoned"
        assert client_refused(world, conversation) is None
    finally:
        db.set_clock(None)


def client_refused(world: World, conversation: UUID) -> str | None:
    """What a question is refused with, in a transaction that is undone."""
    import psycopg

    try:
        with world.db.acting(world.people.ada, world.agent) as connection:
            connection.execute("select loci.begin_turn(%s, 'Well?')", (conversation,))
            raise KeyError
    except psycopg.Error as error:
        return error.sqlstate
    except KeyError:
        return None


# --- the database ---------------------------------------------------------------------------------------------------------------


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_that_is_killed(own_server: Any, tmp_path: Path, gate: threading.Event) -> None:
    migrate(own_server.dsn("loci"))
    prefix, _, query = own_server.dsn("loci").partition("?")
    db = Database("loci", lambda name: f"{prefix.rsplit('/', 1)[0]}/{name}?{query}")
    db.execute("select loci.add_embedding_model('hash', provider => 'hash', dimensions => 256)")
    db.execute("select loci.use_embedding_model('hash')")
    with FaultServer() as server:
        world = World(db, tmp_path)
        world.begin(server)
        client = Client(world, world.shim(shim_connection_seconds=2, shim_connections=2))
        try:
            wait_until(lambda: client.shim.http.get("/readyz").status_code == 200, "it is ready")
            server.then(faults.streams("Before, ", gate, "and after."))
            conversation = world.conversation()
            with client.streaming(conversation) as events:
                assert next_text(events) == "Before, "
                # The server of the tests does not wait for its disk.
                db.execute("checkpoint")
                own_server.kill()
                gate.set()
                assert next_text(events) == "and after."
                # Meanwhile others hear that it is not their fault, and nothing else.
                refused = client.ask(conversation)
                assert (
                    refused.status_code == 503
                    and refused.headers["retry-after"]
                    and refused.json()["code"][:2] in ("08", "57")
                )
                assert "127.0.0.1" not in refused.text and "agent" not in refused.text
                assert client.shim.http.get("/readyz").status_code == 503
                assert client.shim.http.get("/healthz").status_code == 200
                own_server.start()
                assert [event.event for event in events][-1] == "done"
            db.admin = db.connect()
            assert world.answered(conversation, "complete") == "Before, and after."
            wait_until(lambda: client.shim.http.get("/readyz").status_code == 200, "it is ready again")
        finally:
            client.shim.close()
            db.close()
