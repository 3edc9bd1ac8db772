"""What is too much, too long, too slow or too curious; what the log says."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.database import wait_until
from tests.gateway import fault_server as faults
from tests.shim.conftest import KEY, SECRET, Client, World, free_port, token

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff", b'{"content": 1}', b'{"content": "a\\u0000b"}', b'{"content": "\\ud800"}', b"{}",
     b'{"content": "?", "options": []}', b'{"content": "?", "options": [1]}', b'{"content": "?", "options": {"x": 1}}',
     b"[" * 100_000, b'{"content": "  "}'],
)  # fmt: skip
def test_bad_requests(client: Client, world: World, body: bytes) -> None:
    conversation = world.conversation()
    answer = client.shim.http.post(f"/v1/conversations/{conversation}/messages", content=body, headers=world.headers())
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] and world.messages(conversation) == []


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/v1/chat/completions", 405), ("POST", "/v1/nothing", 404), ("POST", "/v1/conversations/x/messages", 404),
    ("POST", "/v1/proposals/1/confirm", 404), ("GET", "/", 404),
])  # fmt: skip
def test_paths_that_are_none(client: Client, method: str, path: str, status: int) -> None:
    answer = client.shim.http.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_too_much_is_refused_unread(new_client: Callable[..., Client], world: World) -> None:
    client = new_client(shim_max_body_bytes=1000)
    conversation = world.conversation()
    answer = client.ask(conversation, "x" * 1000)
    assert (answer.status_code, answer.json()["code"]) == (413, "54000")
    assert world.messages(conversation) == []


def test_a_body_that_never_comes(new_client: Callable[..., Client], world: World) -> None:
    client = new_client(shim_stall_seconds=0.3)
    with socket.create_connection(("127.0.0.1", client.shim.port)) as raw:
        raw.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            f"Authorization: Bearer {token(world.people.ada)}\r\n\r\n{{".encode()
        )
        raw.settimeout(60)
        assert raw.recv(100).startswith(b"HTTP/1.1 408")


def test_too_many_at_a_time(new_client: Callable[..., Client], world: World, gate: threading.Event) -> None:
    client = new_client(shim_max_requests=1)
    world.server.then(faults.streams("First", gate))
    with client.streaming(world.conversation()) as events:
        next(events)
        refused = client.ask(world.conversation())
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "53300", "1")
        assert client.shim.http.get("/readyz").status_code == 200
    world.server.then(faults.streams("Second."))
    wait_until(lambda: client.ask(world.conversation()).status_code == 200, "there is room again")


def test_limits_of_the_database(client: Client, world: World) -> None:
    world.db.execute("update loci.settings set value = '1' where name = 'chat_user_requests_per_minute'")
    try:
        world.server.always(faults.streams("Here."))
        assert client.ask(world.conversation()).status_code == 200
        # Another minute may have begun; not twice.
        refused = client.ask(world.conversation())
        if refused.status_code == 200:
            refused = client.ask(world.conversation())
        assert (refused.status_code, refused.json()["code"]) == (429, "LC507")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
    finally:
        world.db.execute("update loci.settings set value = '1000000' where name = 'chat_user_requests_per_minute'")


def test_one_turn_at_a_time(client: Client, world: World, gate: threading.Event) -> None:
    world.server.then(faults.streams("First", gate))
    conversation = world.conversation()
    with client.streaming(conversation) as events:
        next(events)
        refused = client.ask(conversation)
        assert (refused.status_code, refused.json()["code"]) == (409, "LC705")


def test_a_database_that_is_not_there(new_client: Callable[..., Client], world: World) -> None:
    client = new_client(turns_dsn=f"postgresql://nobody:secret@127.0.0.1:{free_port()}/x?connect_timeout=1")
    assert client.shim.http.get("/readyz").status_code == 503
    assert client.shim.http.get("/healthz").status_code == 200
    assert "secret" not in client.shim.raw_log


def test_a_reply_without_end(new_client: Callable[..., Client], world: World) -> None:
    client = new_client(shim_max_reply_chars=100)
    world.server.then(faults.streams(*["word "] * 50))
    conversation = world.conversation()
    assert client.ask(conversation).json()["code"] == "LC407"
    assert len(world.answered(conversation, "failed")) == 100


def test_traces_go_through(client: Client, world: World) -> None:
    world.server.then(faults.streams("Here."))
    answer = client.shim.http.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Where is the harbour?"}]},
        headers=world.headers(traceparent=TRACE, tracestate="a=b", **{"X-Request-Id": "req-1"}),
    )  # fmt: skip
    (request,) = world.server.requests
    sent = request.headers["traceparent"].split("-")
    assert sent[:2] == TRACE.split("-")[:2] and sent[2] != TRACE.split("-")[2] and sent[3] == "01"
    assert request.headers["tracestate"] == "a=b" and answer.headers["x-request-id"] == "req-1"
    trace_id = TRACE.split("-")[1]
    assert [call["trace_id"] for call in world.calls] == [trace_id]
    lines = [line for line in client.shim.log if line.get("request_id") == "req-1"]
    assert [line["event"] for line in lines] == ["turn", "request"]
    assert all(line["trace_id"] == trace_id and line["turn_id"] == answer.headers["x-loci-turn"] for line in lines)
    assert (lines[0]["status"], lines[1]["status"], lines[1]["method"]) == ("complete", 200, "POST")


@pytest.mark.parametrize(
    "given", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", f"ff{TRACE[2:]}", "x\u00e4"]
)
def test_a_trace_that_is_none_begins_anew(client: Client, world: World, given: str) -> None:
    world.server.then(faults.streams("Here."))
    headers: Any = world.headers() | {"traceparent": given.encode("latin-1"), "X-Request-Id": 'a b"c'}
    answer = client.shim.http.post(
        f"/v1/conversations/{world.conversation()}/messages", json={"content": "?"}, headers=headers
    )
    assert answer.status_code == 200 and re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", world.server.requests[0].headers["traceparent"])


def test_the_log_holds_no_text_and_no_secret(client: Client, world: World) -> None:
    bearer = token(world.people.ada)
    world.server.then(
        faults.streams("A very private answer."), faults.echo_key(401), faults.streams("Half", end=faults.reset)
    )
    for _ in range(3):
        answer = client.shim.http.post(
            f"/v1/conversations/{world.conversation()}/messages", json={"content": "A private question?"},
            headers={"Authorization": f"Bearer {bearer}"},
        )  # fmt: skip
        assert answer.status_code in (200, 502)
    said = client.shim.raw_log
    for secret in ("private", KEY, SECRET, bearer, bearer.split(".")[2], world.db.dsn_as(world.agent)):
        assert secret not in said
    assert all({"at", "level", "event"} <= line.keys() for line in client.shim.log)


@pytest.mark.parametrize("missing", ["LOCI_TURNS_DSN", "LOCI_GATEWAY_URL"])
def test_settings(missing: str, tmp_path: Any) -> None:
    from loci_shim.settings import Settings

    key = tmp_path / "key"
    key.write_text("from a file\n")
    given = {
        "LOCI_TURNS_DSN": "a", "LOCI_DECISIONS_DSN": "b", "LOCI_GATEWAY_URL": "c", "LOCI_GATEWAY_KEY_FILE": str(key),
        "LOCI_SHIM_PORT": "1", "LOCI_SHIM_TURN_SECONDS": "2.5",
    }  # fmt: skip
    found = Settings.read(given)
    assert (found.gateway_key, found.shim_port, found.shim_turn_seconds) == ("from a file", 1, 2.5)
    assert "from a file" not in repr(found)
    with pytest.raises(ValueError, match=missing):
        Settings.read({name: value for name, value in given.items() if name != missing})
    with pytest.raises(ValueError, match="LOCI_SHIM_PORT"):
        Settings.read(given | {"LOCI_SHIM_PORT": "x"})
    assert json.dumps(str(found))
