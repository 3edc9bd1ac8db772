"""Answers as events and as JSON, to the clients that people use: httpx-sse, curl, the openai package."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import openai
import pytest

from tests.database import wait_until
from tests.gateway import fault_server as faults
from tests.shim.conftest import HOUSE, KEY, Client, Shim, World, data_of, text_of, token

ANSWER = ("It hangs ", "behind the clock", " [1].")


def test_events(client: Client, world: World) -> None:
    world.server.then(faults.streams(*ANSWER, cost=0.25))
    conversation = world.conversation()
    events = client.events(conversation)
    assert [event.event for event in events] == ["message"] * 3 + ["citation", "usage", "done"]
    assert text_of(events) == "".join(ANSWER)
    (citation,) = data_of(events, "citation")
    assert (citation["number"], citation["key"], citation["title"]) == (1, str(world.house), "House")
    (usage,) = data_of(events, "usage")
    assert usage["latency_ms"] >= 0 and usage.pop("latency_ms") is not None
    assert usage == {"model": "first", "prompt_tokens": 3, "completion_tokens": 2, "cost_usd": 0.25}
    (done,) = data_of(events, "done")
    assert done["status"] == "complete" and 0 < done["confidence"] <= 1
    assert [event.id for event in events] == [f"{done['turn_id']}:{n}" for n in range(1, 7)]
    assert world.messages(conversation)[1] == ("assistant", "".join(ANSWER), "complete")
    assert world.db.value("select max(message_id) from loci.messages") == done["message_id"]
    (call,) = world.calls
    assert (call["status"], float(call["cost_usd"]), call["tokens_in"], call["tokens_out"]) == ("ok", 0.25, 3, 2)


def test_what_is_sent_is_what_begin_turn_returned(client: Client, world: World) -> None:
    world.server.then(faults.streams("Yes."))
    client.events(world.conversation())
    (request,) = world.server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    body = request.body
    assert (body.pop("stream"), body.pop("stream_options")) == (True, {"include_usage": True})
    assert body["model"] == "first" and body["messages"][-1]["content"] == "Where is the spare key?"
    assert HOUSE in body["messages"][0]["content"] and {"max_tokens", "temperature"} <= body.keys()


def test_json(client: Client, world: World) -> None:
    world.server.then(faults.streams(*ANSWER))
    conversation = world.conversation()
    answer = client.ask(conversation)
    assert answer.status_code == 200 and answer.headers["x-loci-conversation"] == str(conversation)
    found = answer.json()
    assert found["content"] == "".join(ANSWER) and found["conversation_id"] == str(conversation)
    assert [citation["number"] for citation in found["citations"]] == [1] and found["proposals"] == []
    assert found["status"] == "complete" and found["usage"]["prompt_tokens"] == 3


def test_pieces_arrive_when_they_are_made(client: Client, world: World, gate: threading.Event) -> None:
    world.server.then(faults.streams("First. ", gate, "Second."))
    with client.streaming(world.conversation()) as events:
        assert json.loads(next(events).data) == {"content": "First. "}
        # No transaction is open, and nothing is locked, while the model thinks. (New connections are still being warmed.)
        wait_until(lambda: not world.busy, "no transaction is open")
        gate.set()
        assert json.loads(next(events).data) == {"content": "Second."}


def test_heartbeats_and_retry(new_client: Callable[..., Client], world: World, gate: threading.Event) -> None:
    client = new_client(shim_heartbeat_seconds=0.02)
    world.server.then(faults.streams(gate, "At last."))
    url, body = f"/v1/conversations/{world.conversation()}/messages", {"content": "Well?", "stream": True}
    with client.shim.http.stream("POST", url, json=body, headers=world.headers()) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        lines = response.iter_lines()
        seen = []
        while seen.count(": still here") < 3:
            seen.append(next(lines))
        gate.set()
        rest = [line for line in lines if line != ": still here"]
        assert rest[0] == "retry: 3000" and rest.count("retry: 3000") == 1 and "event: done" in rest


def test_a_client_that_reconnects_asks_nothing_twice(client: Client, world: World) -> None:
    conversation = world.conversation()
    answer = client.shim.http.post(
        f"/v1/conversations/{conversation}/messages",
        json={"content": "x"},
        headers=world.headers(**{"Last-Event-ID": "1"}),
    )
    assert answer.status_code == 204 and world.messages(conversation) == []


def test_curl(client: Client, world: World) -> None:
    curl = shutil.which("curl")
    assert curl, "curl is part of every development machine"
    world.server.then(faults.streams(*ANSWER))
    done = subprocess.run(
        [
            curl, "--silent", "--no-buffer", f"{client.shim.url}/v1/conversations/{world.conversation()}/messages",
            "--header", f"Authorization: Bearer {token(world.people.ada)}", "--json", '{"content": "Where?", "stream": true}',
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'event: message\ndata: {"content": "It hangs "}\n\n' in done.stdout
    assert done.stdout.count("\n\n") == 6 and "event: done" in done.stdout


def test_a_conversation_is_begun(client: Client, world: World) -> None:
    answer = client.shim.http.post("/v1/conversations", headers=world.headers())
    assert answer.status_code == 201
    owner = "select user_id from loci.conversations where conversation_id = %s"
    assert world.db.value(owner, answer.json()["conversation_id"]) == world.people.ada


def test_characters_of_all_kinds(client: Client, world: World) -> None:
    """Halves of a character, and what PostgreSQL stores in no text."""
    world.server.then(faults.streams("a \ud83d", "\ude00 b\0", " \udc00 ツ"))
    conversation = world.conversation()
    assert client.ask(conversation, "Ünïcode 😀?").json()["content"] == "a 😀 b � ツ"
    assert [content for _, content, _ in world.messages(conversation)] == ["Ünïcode 😀?", "a 😀 b � ツ"]


# --- the openai package ---------------------------------------------------------------------------------------------------


@pytest.fixture
def official(client: Client, world: World) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.shim.url}/v1", api_key=token(world.people.ada), max_retries=0)


def test_openai_whole(official: openai.OpenAI, world: World) -> None:
    world.server.then(faults.streams(*ANSWER))
    raw = official.chat.completions.with_raw_response.create(
        model="any", messages=[{"role": "user", "content": "Where is the spare key?"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "".join(ANSWER) and answer.choices[0].finish_reason == "stop"
    assert answer.model == "first" and answer.usage is not None and answer.usage.total_tokens == 5
    assert answer.model_extra is not None and answer.model_extra["loci"]["citations"][0]["title"] == "House"
    conversation = UUID(raw.headers["x-loci-conversation"])
    assert [m[1] for m in world.messages(conversation)] == ["Where is the spare key?", "".join(ANSWER)]


def test_openai_streaming(official: openai.OpenAI, world: World) -> None:
    world.server.then(faults.streams(*ANSWER, finish_reason="length"))
    chunks = list(
        official.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "Where is the spare key?"}], stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    *said, last, usage = chunks
    assert [chunk.choices[0].delta.content for chunk in said] == list(ANSWER)
    assert said[0].choices[0].delta.role == "assistant" and last.choices[0].finish_reason == "length"
    assert last.model_extra is not None and last.model_extra["loci"]["citations"][0]["number"] == 1
    assert usage.usage is not None and usage.usage.total_tokens == 5 and usage.choices == []


def test_openai_conversations(official: openai.OpenAI, world: World) -> None:
    """By its header a conversation goes on; without one, what the client remembers is told."""
    world.server.always(faults.streams("Yes."))
    raw = official.chat.completions.with_raw_response.create(
        model="any", messages=[{"role": "user", "content": "Is there a key?"}]
    )
    header = {"X-Loci-Conversation": raw.headers["x-loci-conversation"]}
    official.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "And a lock?"}], extra_headers=header
    )
    assert [m["content"] for m in world.server.requests[1].body["messages"][1:]] == [
        "Is there a key?",
        "Yes.",
        "And a lock?",
    ]
    official.chat.completions.create(
        model="any",
        messages=[
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": "Hello, Ada."},
            {"role": "user", "content": [{"type": "text", "text": "Who am I?"}]},
        ],
    )
    told = world.server.requests[2].body["messages"]
    assert [m["content"] for m in told[1:]] == ["My name is Ada.", "Hello, Ada.", "Who am I?"]
    assert "pirate" not in told[0]["content"]


def test_openai_errors(official: openai.OpenAI, client: Client, world: World) -> None:
    ask = official.chat.completions.create
    with pytest.raises(openai.NotFoundError):
        ask(model="x", messages=[{"role": "user", "content": "?"}], extra_headers={"X-Loci-Conversation": str(uuid4())})
    with pytest.raises(openai.NotFoundError):
        ask(model="x", messages=[{"role": "user", "content": "?"}], extra_headers={"X-Loci-Conversation": "nonsense"})
    with pytest.raises(openai.BadRequestError):
        ask(
            model="x", messages=[{"role": "user", "content": "?"}],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
        )  # fmt: skip
    with pytest.raises(openai.BadRequestError):
        ask(model="x", messages=[{"role": "assistant", "content": "?"}])
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{client.shim.url}/v1", api_key="nonsense", max_retries=0).chat.completions.create(
            model="x", messages=[{"role": "user", "content": "?"}]
        )
    world.server.then(faults.streams("Half", end=faults.stream_fails))
    with pytest.raises(openai.APIError) as failed:
        list(ask(model="x", messages=[{"role": "user", "content": "?"}], stream=True))
    assert failed.value.code == "LC402" and "/srv" not in str(failed.value)


# --- about the server -------------------------------------------------------------------------------------------------------


def test_openapi_says_what_there_is(client: Client, only_shim: Shim) -> None:
    found = client.shim.http.get("/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    from loci_shim.app import make_app
    from loci_shim.settings import Settings

    app = make_app(Settings("", "http://127.0.0.1:9/v1"))
    served = {
        (route.path.replace(":uuid", ""), method.lower())  # type: ignore[attr-defined]
        for route in app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert {(path, method) for path, methods in found["paths"].items() for method in methods} == served


def test_health(client: Client) -> None:
    assert client.shim.http.get("/healthz").status_code == 200
    assert client.shim.http.get("/readyz").status_code == 200
