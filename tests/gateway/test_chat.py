"""Whole turns against an endpoint that misbehaves: chat(), ask(), and a client that sends what begin_turn() gave it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Connection, Database, People, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer
from tests.pipeline.background import activity, background

KEY = "The spare key hangs behind the clock in the hall."
COST = {"x-litellm-response-cost": "0.25"}


class World:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.people: People = db.people()
        self.server: FaultServer
        self.app = db.connect(db.app_role())
        self.house = db.document(self.people.acme, KEY, title="House")
        db.drain()

    def begin(self, server: FaultServer) -> None:
        self.server = server
        db = self.db
        db.execute("update loci.settings set value = null where name like 'chat%%'")
        for name in ("chat_user_requests_per_minute", "chat_organization_requests_per_minute"):
            db.execute("update loci.settings set value = '1000000' where name = %s", name)
        db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
        db.execute(
            "select loci.add_gateway('default', %s, requests_per_minute => 100000, timeout_seconds => 10)",
            server.base_url,
        )
        db.execute("update loci.organizations set budget_usd_month = null, settings = '{}'")
        db.execute("truncate loci_private.calls, loci_private.spending, loci_private.call_texts, loci.messages cascade")
        db.forget_requests()

    @contextmanager
    def acting(self, user: UUID | None = None) -> Iterator[Connection]:
        with self.app.transaction():
            self.app.execute("select loci.act_as(%s)", (user or self.people.ada,))
            yield self.app

    def one(self, sql: str, *parameters: Any, user: UUID | None = None) -> dict[str, Any]:
        with self.acting(user) as connection:
            row = connection.execute(cast(LiteralString, sql), parameters).fetchone()
        assert row is not None
        return row

    def conversation(self, user: UUID | None = None) -> UUID:
        row = self.one("insert into loci.conversations default values returning conversation_id", user=user)
        return cast(UUID, row["conversation_id"])

    def chat(self, conversation: UUID, content: str = "Where is the spare key?", more: str = "") -> dict[str, Any]:
        return self.one(f"select * from loci.chat(%s, %s{more})", conversation, content)

    def messages(self, conversation: UUID) -> list[tuple[str, str, str]]:
        rows = self.db.rows(
            "select role, content, status from loci.messages where conversation_id = %s order by message_id",
            conversation,
        )
        return [(row["role"], row["content"], row["status"]) for row in rows]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self.db.rows("select * from loci.calls order by called_at")

    def set(self, name: str, value: str) -> None:
        self.db.execute("update loci.settings set value = %s where name = %s", value, name)


@pytest.fixture(scope="module")
def only_world(db: Database) -> Iterator[World]:
    world = World(db)
    yield world
    world.app.close()


@pytest.fixture
def world(only_world: World, fault_server: FaultServer) -> World:
    only_world.begin(fault_server)
    return only_world


def test_a_conversation_is_grounded_and_remembered(world: World) -> None:
    world.server.then(
        faults.says("It hangs behind the clock [1].", headers=COST),
        faults.says("Yes, in the hall [1][7].", headers=COST),
    )
    conversation = world.conversation()
    first = world.chat(conversation)
    assert first["reply"] == "It hangs behind the clock [1]." and first["error"] is None and first["proposals"] == []
    assert [(c["number"], c["key"], c["title"]) for c in first["citations"]] == [(1, str(world.house), "House")]
    assert 0 < first["confidence"] <= 1
    assert first["usage"]["cost_usd"] == 0.25 and first["usage"]["model"]
    second = world.chat(conversation, "In the hall?")
    assert [c["number"] for c in second["citations"]] == [1]
    sent = json.loads(json.dumps(world.server.requests[1].body))
    assert [(m["role"], m["content"]) for m in sent["messages"][1:]] == [
        ("user", "Where is the spare key?"),
        ("assistant", "It hangs behind the clock."),
        ("user", "In the hall?"),
    ]
    assert KEY in sent["messages"][0]["content"]
    assert [m[0] for m in world.messages(conversation)] == ["user", "assistant"] * 2
    assert [(c["status"], c["purpose"], float(c["cost_usd"])) for c in world.calls] == [("ok", "chat", 0.25)] * 2
    stored = world.db.rows("select token_count, confidence from loci.messages where role = 'assistant'")
    assert all(row["token_count"] and row["confidence"] for row in stored)


def test_a_question_without_a_conversation(world: World) -> None:
    world.server.always(faults.says("Behind the clock [1].", headers=COST))
    answer = world.one("select * from loci.ask('Where is the spare key?')")
    assert answer["reply"] == "Behind the clock [1]." and [c["content"] for c in answer["citations"]] == [KEY]
    assert answer["confidence"] > 0 and answer["usage"]["cost_usd"] == 0.25
    assert (
        world.db.value("select count(*) from loci.messages")
        == 0
        == world.db.value("select count(*) from loci_private.turns")
    )
    # Somebody else is told nothing of it.
    answer = world.one("select * from loci.ask('Where is the spare key?')", user=world.people.eve)
    assert answer["citations"] == [] and answer["confidence"] == 0
    assert KEY not in json.dumps(world.server.requests[1].body)
    assert {call["purpose"] for call in world.calls} == {"ask"}


@pytest.mark.parametrize(
    ("behaviour", "code"), [(faults.status(500), "LC402"), (faults.status(429), "LC401"), (faults.says(""), "LC511")]
)
def test_a_gateway_that_fails(world: World, behaviour: Any, code: str) -> None:
    world.server.always(behaviour)
    conversation = world.conversation()
    with pytest.raises(psycopg.Error) as caught:
        world.chat(conversation)
    assert caught.value.sqlstate == code and "Traceback" not in str(caught.value.diag.context)
    # It never was; but what was asked is on record.
    assert world.messages(conversation) == [] and [c["status"] for c in world.calls] == ["error"]
    kept = world.chat(conversation, more=", raise_error => false")
    assert kept["error"]["sqlstate"] == code and kept["reply"] is None and kept["citations"] == []
    assert kept["message_id"] is None and kept["confidence"] is None
    assert world.messages(conversation) == [("user", "Where is the spare key?", "complete")]
    assert [row["status"] for row in world.db.rows("select status from loci_private.turns")] == ["failed"]
    with pytest.raises(psycopg.Error) as caught:
        world.one("select * from loci.ask('Where is the spare key?')")
    assert caught.value.sqlstate == code
    asked = world.one("select * from loci.ask('Where?', raise_error => false)")
    assert asked["error"]["sqlstate"] == code and asked["citations"] == [] and asked["confidence"] is None
    # And it goes on.
    world.server.always(faults.says("Behind the clock [1]."))
    assert world.chat(conversation)["citations"]


def test_the_fallback_model_answers(world: World) -> None:
    world.set("chat_fallback_model", "second")
    world.server.then(faults.status(500), faults.says("Behind the clock [1]."))
    answer = world.chat(world.conversation())
    assert answer["reply"] == "Behind the clock [1]." and answer["usage"]["fallback"] is True
    assert [(c["model"], c["status"]) for c in world.calls] == [("first", "error"), ("second", "ok")]


def test_a_budget_that_is_used_up(world: World) -> None:
    world.server.always(faults.says("Behind the clock.", headers=COST))
    world.db.execute(
        "update loci.organizations set budget_usd_month = 0.3 where organization_id = %s", world.people.acme
    )
    conversation = world.conversation()
    world.chat(conversation), world.chat(conversation)
    for sql in ("select * from loci.chat(%s, 'x')", "select * from loci.begin_turn(%s, 'x')"):
        with pytest.raises(psycopg.Error) as caught:
            world.one(sql, conversation)
        assert caught.value.sqlstate == "LC505"
    assert len(world.server.requests) == 2 and len(world.messages(conversation)) == 4


def test_what_is_redacted_never_leaves(world: World) -> None:
    world.db.execute(
        "update loci.organizations set settings = '{\"redact\": true}' where organization_id = %s", world.people.acme
    )
    world.server.always(faults.says("Behind the clock."))
    conversation = world.conversation()
    world.chat(conversation, "Write to ada@example.org about the key")
    request = world.one("select * from loci.begin_turn(%s, 'Or to bob@example.org?')", conversation)["request"]
    for sent in (json.dumps(world.server.requests[0].body), json.dumps(request)):
        assert "@example.org" not in sent and "[EMAIL]" in sent


def test_while_the_model_thinks_nobody_waits(world: World) -> None:
    """chat() keeps a transaction open, and no row locked."""
    db = world.db
    world.server.always(faults.hang)
    thinker = db.user("thinker@example.org")
    conversation = world.conversation(thinker)
    role = db.login_role("thinker", "loci_app")
    db.execute("update loci.users set db_role = %s where user_id = %s", role, thinker)
    with background(db, f"set session authorization '{role}'; select loci.chat('{conversation}', 'Where?')") as running:
        wait_until(lambda: world.server.requests, "the model is asked")
        state = activity(db, running.pid)
        assert state is not None and not state["blockers"]
        with db.connect() as other:
            other.execute("set lock_timeout = '5s'")
            other.execute("update loci.conversations set title = 'x' where conversation_id = %s", (conversation,))
            other.execute(
                "insert into loci.messages (conversation_id, role, content) values (%s, 'user', 'meanwhile')",
                (conversation,),
            )
            other.execute("delete from loci.conversations where conversation_id = %s", (conversation,))
        db.execute("select pg_cancel_backend(%s)", running.pid)
        running.wait()
        assert running.error is not None and running.error.sqlstate == "57014"
    assert [call["status"] for call in world.calls] == ["cancelled"]


def test_a_client_that_streams(world: World) -> None:
    """What begin_turn() returns is sent as it is; no transaction is open meanwhile."""
    db = world.db
    world.set("chat_keep_texts", "true")
    conversation = world.conversation()
    begun = world.one("select * from loci.begin_turn(%s, 'Where is the spare key?')", conversation)
    with db.connect() as other:
        states = other.execute(
            "select state from pg_stat_activity where pid = %s", (world.app.info.backend_pid,)
        ).fetchall()
    assert [row["state"] for row in states] == ["idle"]
    world.server.always(faults.says("Behind the clock [1].", headers=COST))
    local = world.server.base_url
    request = urllib.request.Request(
        f"{local}/chat/completions", json.dumps(begun["request"]).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        reply = json.load(answer)["choices"][0]["message"]["content"]
    (call,) = world.calls
    assert call["status"] == "running"
    done = world.one("select * from loci.finish_turn(%s, %s, %s)", begun["turn_id"], reply, Jsonb({"cost_usd": 0.25}))
    assert [c["title"] for c in done["citations"]] == ["House"]
    (call,) = world.calls
    assert call["status"] == "ok" and float(call["cost_usd"]) == 0.25
    (texts,) = db.rows("select messages, answer from loci.call_texts")
    assert texts["messages"] == begun["request"]["messages"] and texts["answer"]["content"] == reply
