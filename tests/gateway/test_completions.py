"""Completions from SQL, against an endpoint that misbehaves: what users get, what is on record, what it may cost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Connection, Database, People, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer, make_certificate
from tests.pipeline.background import activity, background

KEY = "sk-chat-71c0e9d25ab8f346"
OWN_KEY = "sk-acme-d90b3e57f1c26a84"
ASK = [{"role": "user", "content": "Who wrote the report?"}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}
COST = {"x-litellm-response-cost": "0.25"}


class World:
    """A database with a chat model behind the faulty endpoint. Ada and bob belong to acme, eve to umbrella."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.server: FaultServer
        self.key_file: str
        self.people: People = db.people()
        # Importing Python packages takes a moment: one session does for most.
        self.app = db.connect(db.app_role())

    @contextmanager
    def acting(self, user: UUID | None) -> Iterator[Connection]:
        """A transaction of an application that acts for this user."""
        with self.app.transaction():
            self.app.execute("select loci.act_as(%s)", (user,))
            yield self.app

    def begin(self, server: FaultServer, key_file: str) -> None:
        """As if it were new."""
        self.server = server
        self.key_file = key_file
        db = self.db
        db.set_clock(None)
        db.execute("update loci.settings set value = null")
        for name in ("chat_user_requests_per_minute", "chat_organization_requests_per_minute"):
            self.set(name, 1000000)
        self.set("chat_model", "first")
        self.gateway()
        db.execute(
            "update loci.organizations set chat_model = null, fallback_model = null, api_key_ref = null, "
            "budget_usd_month = null, settings = '{}'"
        )
        db.execute("truncate loci_private.calls, loci_private.spending, loci_private.call_texts, loci.model_prices")
        db.execute("truncate loci_private.requests, loci_private.failures, loci_private.model_health cascade")
        db.forget_requests()

    def gateway(self, url: str | None = None, key: str | None = None, **limits: Any) -> None:
        given = {"requests_per_minute": 100000, "timeout_seconds": 10, "max_concurrency": 5, **limits}
        said = ", ".join(f"{name} => {value}" for name, value in given.items())
        self.db.execute(
            f"select loci.add_gateway('default', %s, %s, {said})",
            url or self.server.base_url,
            key or f"file:{self.key_file}",
        )

    def set(self, name: str, value: Any) -> None:
        self.db.execute("update loci.settings set value = %s where name = %s", str(value), name)

    def acme(self, **columns: Any) -> None:
        for name, value in columns.items():
            self.db.execute(
                f"update loci.organizations set {name} = %s where organization_id = %s", value, self.people.acme
            )

    def ask(self, user: UUID | None = None, messages: Any = ASK, function: str = "complete", **more: Any) -> Any:
        with self.acting(user or self.people.ada) as connection:
            return ask(connection, messages, function, **more)

    def fails(self, *arguments: Any, **more: Any) -> psycopg.Error:
        with pytest.raises(psycopg.Error) as failed:
            self.ask(*arguments, **more)
        # A user sees what happened, never where in the code.
        assert "Traceback" not in str(failed.value.diag.context) and "plpy" not in str(failed.value)
        return failed.value

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self.db.rows("select * from loci.calls order by called_at")

    def drain(self) -> None:
        self.db.drain(30)


def ask(connection: Connection, messages: Any = ASK, function: str = "complete", **more: Any) -> Any:
    more = {name: Jsonb(v) if isinstance(v, dict | list) else v for name, v in more.items()}
    given = "".join(f", {name} => %s" for name in more)
    row = connection.execute(
        cast(LiteralString, f"select loci.{function}(%s{given}) as value"), (Jsonb(messages), *more.values())
    ).fetchone()
    assert row is not None
    return row["value"]


@pytest.fixture(scope="module")
def key_file(file_on_server: Callable[[str], str]) -> str:
    return file_on_server(KEY + "\n")


@pytest.fixture(scope="module")
def only_world(db: Database) -> Iterator[World]:
    world = World(db)
    yield world
    world.app.close()


@pytest.fixture
def world(only_world: World, fault_server: FaultServer, key_file: str) -> World:
    only_world.begin(fault_server, key_file)
    return only_world


# --- the way it should be ---------------------------------------------------------------------------------------------


def test_a_question_is_answered(world: World) -> None:
    world.server.always(faults.says("Ada did.", headers=COST))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = world.ask(purpose="report", traceparent=trace)
    assert (answer["status"], answer["content"], answer["model"]) == ("ok", "Ada did.", "first")
    assert (answer["finish_reason"], answer["fallback"], answer["tool_calls"]) == ("stop", False, [])
    assert answer["usage"] == {"calls": 1, "tokens_in": 3, "tokens_out": 2, "cost_usd": 0.25}
    (sent,) = world.server.requests
    assert sent.body == {"model": "first", "messages": ASK, "temperature": 0.2, "max_tokens": 1000, "top_p": 0.9}
    assert sent.headers["authorization"] == f"Bearer {KEY}" and sent.headers["traceparent"] == trace
    assert set(sent.headers) == {
        "host", "accept", "content-type", "content-length", "traceparent", "user-agent", "accept-encoding", "authorization"
    }  # fmt: skip
    (call,) = world.calls
    assert str(call["call_id"]) == answer["call_id"] and (call["status"], call["sqlstate"]) == ("ok", None)
    assert (call["organization_id"], call["user_id"]) == (world.people.acme, world.people.ada)
    assert (call["purpose"], call["model"], call["gateway"], call["fallback"]) == ("report", "first", "default", False)
    assert (call["tokens_in"], call["tokens_out"], float(call["cost_usd"]), call["cost_estimated"]) == (
        3,
        2,
        0.25,
        False,
    )
    assert call["trace_id"] == trace[3:35] and 0 <= call["latency_ms"] < 60000
    # The drain writes down what could be seen before.
    world.drain()
    assert world.calls == [call] and world.db.value("select count(*) from loci_private.calls") == 1


def test_tools_are_passed_on_and_called(world: World) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    world.server.always(faults.calls({"who": "ada"}, '{"a": 1,}', "oops", name="find"))
    answer = world.ask(tools=[tool], tool_choice=Jsonb("required"))
    assert [call["arguments"] for call in answer["tool_calls"]] == [{"who": "ada"}, {"a": 1}, None]
    assert answer["tool_calls"][2]["text"] == "oops" and answer["content"] is None
    (sent,) = world.server.requests
    assert sent.body["tools"] == [tool] and sent.body["tool_choice"] == "required"


def test_an_organization_has_its_model_and_key(world: World, file_on_server: Callable[[str], str]) -> None:
    world.acme(chat_model="acmes", api_key_ref=f"file:{file_on_server(OWN_KEY)}")
    world.set("chat_temperature", 0)
    world.set("chat_max_tokens", 7)
    world.set("chat_top_p", 1)
    world.ask()
    world.ask(world.people.eve)
    ada, eve = world.server.requests
    assert (ada.body["model"], ada.headers["authorization"]) == ("acmes", f"Bearer {OWN_KEY}")
    assert (eve.body["model"], eve.headers["authorization"]) == ("first", f"Bearer {KEY}")
    assert (ada.body["temperature"], ada.body["max_tokens"], ada.body["top_p"]) == (0, 7, 1)


def test_what_an_organization_wants_redacted_does_not_leave(world: World) -> None:
    world.acme(settings=Jsonb({"redact": True}))
    messages = [
        {"role": "system", "content": "Ada is ada@example.org"},
        {"role": "user", "content": "mail bob@example.org"},
    ]
    schema = {"type": "object", "description": "of eve@example.org", "properties": {"a": {"type": "string"}}}
    world.server.always(faults.without("tools", faults.says('{"a": 7}')))
    world.fails(messages=messages, function="complete_json", schema=schema)
    world.server.always(faults.status(500, "bob@example.org and mail [EMAIL] are not served"))
    failed = world.fails(messages=messages)
    sent = json.dumps([request.body for request in world.server.requests])
    assert len(world.server.requests) == 4 and "@example.org" not in sent and "[EMAIL]" in sent
    assert failed.sqlstate == "LC402"
    world.server.always(faults.ok())
    world.ask(world.people.eve, messages)
    assert "bob@example.org" in json.dumps(world.server.requests[-1].body)


# --- faults -----------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[faults.Behaviour, str]] = {
    "429": (faults.status(429, retry_after="17"), "LC401"),
    "500": (faults.status(500), "LC402"),
    "reset": (faults.reset, "LC402"),
    "reset within": (faults.reset_within, "LC402"),
    "truncated": (faults.truncated, "LC402"),
    "hang": (faults.hang, "LC403"),
    "trickle": (faults.trickle(0.2), "LC403"),
    "credentials": (faults.status(401), "LC404"),
    "unknown model": (faults.status(404), "LC405"),
    "redirect": (faults.redirect("http://127.0.0.1:9/v1/chat/completions"), "LC405"),
    "rejected": (faults.status(400), "LC406"),
    "no JSON": (faults.body(b"oops"), "LC407"),
    "HTML": (faults.body(b"<html>502 Bad Gateway</html>", content_type="text/html"), "LC407"),
    "a list": (faults.body([1]), "LC407"),
    "empty choices": (faults.body({"choices": []}), "LC407"),
    "content filter": (faults.says(None, "content_filter"), "LC511"),
    "nothing": (faults.says(" "), "LC511"),
    "cut off at once": (faults.says("", "length"), "LC511"),
    "too large": (faults.huge(9 * 1024 * 1024), "LC407"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_an_error_and_on_record(world: World, name: str) -> None:
    behaviour, sqlstate = FAULTS[name]
    world.gateway(timeout_seconds=1)
    world.server.always(behaviour)
    failed = world.fails()
    assert failed.sqlstate == sqlstate, failed
    assert failed.diag.message_detail and KEY[-10:] not in f"{failed} {failed.diag.message_detail}"
    # The transaction is gone, the call is not.
    (call,) = world.calls
    assert (call["status"], call["sqlstate"], call["user_id"]) == ("error", sqlstate, world.people.ada)
    # As a value, where that is wanted, and the transaction goes on.
    with world.acting(world.people.ada) as connection:
        answer = ask(connection, raise_error=False)
        assert answer["status"] == "error" and answer["error"]["sqlstate"] == sqlstate
        assert connection.execute("select 1 as one").fetchone() == {"one": 1}
    if name == "429":
        assert answer["error"]["retry_after"] == 17
    assert len(world.calls) == 2


def test_a_certificate_that_nobody_vouches_for(
    world: World, new_fault_server: Callable[..., FaultServer], tmp_path: Path
) -> None:
    secure = new_fault_server(tls=make_certificate(tmp_path))
    world.gateway(url=secure.base_url)
    failed = world.fails()
    assert failed.sqlstate == "LC402" and "ertificate" in str(failed.diag.message_detail)
    assert secure.requests == []


@pytest.mark.parametrize(("key", "sqlstate"), [("env:LOCI_NO_SUCH_KEY", "LC121"), ("file:/dev/null", "LC121")])
def test_without_a_key_nothing_is_sent(world: World, key: str, sqlstate: str) -> None:
    world.gateway(key=key)
    world.set("chat_fallback_model", "second")
    assert world.fails().sqlstate == sqlstate
    assert world.server.requests == [] and world.calls == []


def test_without_a_model_nothing_is_sent(world: World) -> None:
    world.db.execute("update loci.settings set value = null where name = 'chat_model'")
    assert world.fails().sqlstate == "LC500"
    assert world.server.requests == []


# --- fallback ---------------------------------------------------------------------------------------------------------


def first(behaviour: faults.Behaviour, then: faults.Behaviour) -> faults.Behaviour:
    """One behaviour for the model called first, another for all others."""
    return lambda exchange: (behaviour if exchange.request.body["model"] == "first" else then)(exchange)


@pytest.mark.parametrize(
    "name", ["429", "500", "hang", "unknown model", "rejected", "no JSON", "empty choices", "nothing"]
)
def test_the_fallback_is_asked_once(world: World, name: str) -> None:
    world.gateway(timeout_seconds=1)
    world.acme(fallback_model="second")
    world.server.always(first(FAULTS[name][0], faults.says("Bob did.")))
    answer = world.ask()
    assert (answer["content"], answer["model"], answer["fallback"]) == ("Bob did.", "second", True)
    assert [(call["model"], call["fallback"], call["status"]) for call in world.calls] == [
        ("first", False, "error"), ("second", True, "ok")
    ]  # fmt: skip
    assert len({call["request_id"] for call in world.calls}) == 1


def test_when_both_fail_it_is_an_error_that_tells_of_both(world: World) -> None:
    world.acme(fallback_model="second")
    world.server.always(first(faults.status(503), faults.status(404)))
    failed = world.fails()
    assert failed.sqlstate == "LC402" and '"second" failed too' in str(failed.diag.message_detail)
    assert "LC405" in str(failed.diag.message_detail) and len(world.server.requests) == 2


def test_a_model_is_not_its_own_fallback_and_a_filter_is_not_gone_around(world: World) -> None:
    world.acme(fallback_model="first")
    world.server.always(faults.status(500))
    world.fails()
    world.acme(fallback_model="second")
    world.server.always(faults.says(None, "content_filter"))
    assert world.fails().sqlstate == "LC511"
    assert [request.body["model"] for request in world.server.requests] == ["first", "first"]


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_by_a_tool(world: World) -> None:
    world.server.always(faults.calls({"name": "Ada", "age": 36}))
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Ada", "age": 36}
    (sent,) = world.server.requests
    assert sent.body["tools"][0]["function"]["parameters"] == SCHEMA
    assert sent.body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
    # What is no object is put into one.
    world.server.always(faults.calls({"answer": [1, 2]}))
    assert world.ask(function="complete_json", schema={"type": "array", "items": {"type": "integer"}}) == [1, 2]


def test_json_where_tools_or_formats_are_rejected(world: World) -> None:
    world.server.always(faults.without("tools", faults.says('```json\n{"name": "Ada",}\n```')))
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Ada"}
    assert "response_format" in world.server.requests[1].body and len(world.server.requests) == 2
    world.server.requests.clear()
    world.server.always(
        faults.without("tools", faults.without("response_format", faults.says("It is {'name': 'Ada'}.")))
    )
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Ada"}
    assert len(world.server.requests) == 3 and "JSON Schema" in world.server.requests[2].texts[0]
    world.server.requests.clear()
    world.server.always(faults.status(400))
    world.acme(fallback_model="second")
    assert world.fails(function="complete_json", schema=SCHEMA).sqlstate == "LC406"
    assert [request.body["model"] for request in world.server.requests] == ["first"] * 3 + ["second"] * 3


def test_json_is_repaired_once(world: World) -> None:
    world.server.then(faults.calls({"name": 7}), faults.calls({"name": "Ada"}))
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Ada"}
    again = world.server.requests[1].body["messages"]
    assert again[0] == ASK[0] and '{"name": 7}' in again[1]["content"] and "$.name" in again[2]["content"]
    assert len(world.calls) == 2
    world.server.always(faults.calls({"name": 7, "secret": "of the model"}))
    failed = world.fails(function="complete_json", schema=SCHEMA)
    assert failed.sqlstate == "LC513" and "$.name breaks type" in str(failed.diag.message_detail)
    assert "of the model" not in str(failed.diag.message_detail) and len(world.server.requests) == 4


def test_json_that_was_cut_off_is_not_taken_for_whole(world: World) -> None:
    world.server.then(
        faults.calls('{"name": "Ada", "age": 3', finish_reason="length"), faults.calls({"name": "Ada", "age": 36})
    )
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Ada", "age": 36}
    world.server.always(faults.says('{"name": "Ad', "length"))
    failed = world.fails(function="complete_json", schema=SCHEMA)
    assert failed.sqlstate == "LC513" and "cut off" in str(failed.diag.message_detail)


def test_a_model_that_does_not_care_for_tools(world: World) -> None:
    world.server.then(faults.says("I would rather talk."), faults.says('{"name": "Ada"}'))
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Ada"}
    assert "response_format" in world.server.requests[1].body
    world.server.then(faults.says('Here: {"name": "Bob"}'))
    assert world.ask(function="complete_json", schema=SCHEMA) == {"name": "Bob"}


def test_patterns_are_the_servers(world: World) -> None:
    hostile = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    world.server.always(faults.calls({"a": "a" * 40 + "!"}))
    assert world.fails(function="complete_json", schema=hostile).sqlstate == "LC513"
    wrong = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<name>x)"}}}
    assert world.fails(function="complete_json", schema=wrong).sqlstate == "LC512"
    assert world.fails(function="complete_json", schema=Jsonb("x")).sqlstate == "LC512"


# --- cancel, locks, transactions --------------------------------------------------------------------------------------


@contextmanager
def asking(world: World, sql: str = "") -> Iterator[Any]:
    """A session that asks, and has asked."""
    question = f"select loci.complete('{json.dumps(ASK)}')"
    role = world.db.app_role()
    with background(
        world.db,
        f"set role \"{role}\"; begin; select loci.act_as('{world.people.ada}'); {sql} {question}; commit",
    ) as running:
        wait_until(lambda: world.server.in_flight, "the gateway is being asked")
        yield running


def test_a_cancel_ends_a_hung_call_and_it_is_on_record(world: World) -> None:
    world.db.execute("insert into loci.model_prices values ('first', 1000, 1000)")
    world.gateway(timeout_seconds=60)
    world.server.always(faults.hang)
    with asking(world) as running:
        (call,) = world.calls
        assert call["status"] == "running"
        world.db.execute("select pg_cancel_backend(%s)", running.pid)
        running.wait()
        assert running.error is not None and running.error.sqlstate == "57014"
        (call,) = world.calls
        # Nobody knows whether it was paid for: what it may have cost counts.
        assert (call["status"], call["sqlstate"], call["cost_estimated"]) == ("cancelled", "57014", True)
        assert call["cost_usd"] >= 1
    wait_until(lambda: world.server.connections == 0, "the connection is closed")


def test_nothing_is_locked_while_a_model_is_asked(world: World) -> None:
    """Neither the gateway's nor the organization's row, nor anything else that somebody could wait for."""
    world.server.always(faults.hang)
    with asking(world) as running:
        seen = activity(world.db, running.pid)
        assert seen is not None and seen["backend_xid"] is None
        world.gateway(requests_per_minute=7)
        world.acme(chat_model="another")
        world.set("chat_model", "another")
        world.db.execute("delete from loci.model_prices")


def test_a_call_that_was_rolled_back_was_made_all_the_same(world: World) -> None:
    world.server.always(faults.says("Ada did.", headers=COST))
    world.acme(budget_usd_month=0.6)
    with world.db.connect(world.db.app_role()) as connection:
        for _ in range(3):
            with pytest.raises((ZeroDivisionError, psycopg.Error)), connection.transaction():
                connection.execute("select loci.act_as(%s)", (world.people.ada,))
                ask(connection)
                raise ZeroDivisionError
    # Nobody knew what the third would cost: 0.5 USD were spent of 0.6.
    assert len(world.calls) == 3 and sum(call["cost_usd"] for call in world.calls) == pytest.approx(0.75)
    assert world.fails().sqlstate == "LC505"
    world.drain()
    assert float(world.db.value("select cost_usd from loci_private.spending")) == pytest.approx(0.75)
    assert world.fails().sqlstate == "LC505"
    assert len(world.server.requests) == 3


def test_a_read_only_transaction_can_ask(world: World) -> None:
    world.set("chat_keep_texts", "true")
    with world.db.connect(world.db.app_role()) as connection, connection.transaction():
        connection.execute("set transaction read only")
        connection.execute("select loci.act_as(%s)", (world.people.ada,))
        assert ask(connection)["status"] == "ok"
    assert len(world.calls) == 1


def test_a_session_that_ends_leaves_its_call_behind(world: World) -> None:
    world.gateway(timeout_seconds=1)
    world.server.always(faults.hang)
    with asking(world) as running:
        world.db.execute("select pg_terminate_backend(%s)", running.pid)
        running.wait()
    assert [call["status"] for call in world.calls] == ["running"]
    world.db.execute(
        "create or replace function loci_private.now() returns timestamptz language sql volatile parallel restricted "
        "as $$select pg_catalog.clock_timestamp() + interval '1 minute'$$"
    )
    world.drain()
    assert [call["status"] for call in world.db.rows("select status from loci_private.calls")] == ["lost"]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_limits_a_minute(world: World) -> None:
    world.db.set_clock("2031-05-06 12:00:20+00")
    for setting, sqlstate, user in (
        ("chat_user_requests_per_minute", "LC507", world.people.ada),
        ("chat_organization_requests_per_minute", "LC508", world.people.bob),
    ):
        world.db.forget_requests()
        world.set(setting, 2)
        world.ask()
        # What fails or is rolled back counts like everything else.
        world.server.then(faults.status(500))
        world.fails()
        failed = world.fails(user)
        assert failed.sqlstate == sqlstate
        # Time goes on while a call is prepared, whatever the clock of the database says.
        assert re.search(r"Try again in (40|[123]\d) seconds\.", str(failed.diag.message_detail))
        assert world.ask(user, raise_error=False)["error"]["retry_after"] == pytest.approx(40, abs=20)
        world.ask(world.people.eve)
        world.set(setting, 1000)
        world.ask(user)
    world.db.forget_requests()
    world.gateway(requests_per_minute=2)
    world.ask()
    world.ask(world.people.eve)
    assert world.fails(world.people.bob).sqlstate == "LC509"
    world.db.set_clock("2031-05-06 12:01:00+00")
    world.ask()


def test_only_so_many_calls_are_under_way(world: World) -> None:
    world.set("chat_max_in_flight", 1)
    world.server.always(faults.hang)
    with asking(world):
        failed = world.fails(world.people.eve)
        assert failed.sqlstate == "LC510" and "Try again" in str(failed.diag.message_detail)
    world.server.always(faults.ok())
    # The session that was ended in the middle is still counted until its time is up.
    world.set("chat_max_in_flight", 2)
    world.ask()


def test_a_budget_is_kept_by_sessions_side_by_side(world: World) -> None:
    world.db.execute("insert into loci.model_prices values ('first', 0, 1000)")
    world.set("chat_max_tokens", 250)
    world.acme(budget_usd_month=0.6)
    world.server.always(faults.hang)
    # Each may cost 0.25 USD: two of them fit, and a third does not while they are under way.
    with asking(world), asking(world):
        wait_until(lambda: world.server.in_flight == 2, "both are under way")
        assert world.fails(world.people.bob).sqlstate == "LC505"
        world.server.always(faults.ok())
        world.ask(world.people.eve)


def test_the_budget_is_looked_at_again_before_the_fallback(world: World) -> None:
    world.acme(budget_usd_month=0.3, fallback_model="second")
    world.db.execute("insert into loci.model_prices values ('first', 0, 200), ('second', 0, 200)")
    # An answer that was paid for and is none: what it may have cost is spent.
    world.server.always(first(faults.body(b"oops"), faults.ok()))
    assert world.fails().sqlstate in ("LC407", "LC505")
    assert [request.body["model"] for request in world.server.requests] == ["first"]


def test_costs(world: World) -> None:
    world.db.execute("insert into loci.model_prices values ('first', 1000, 10000)")
    assert world.ask()["usage"]["cost_usd"] == pytest.approx(3 * 0.001 + 2 * 0.01)
    world.server.always(faults.says("x", headers={"x-litellm-response-cost": "0.5"}))
    assert world.ask()["usage"]["cost_usd"] == 0.5
    for nonsense in ("-1", "nan", "inf", "free"):
        world.server.always(faults.says("x", headers={"x-litellm-response-cost": nonsense}))
        assert world.ask()["usage"]["cost_usd"] == pytest.approx(0.023)
    world.db.execute("delete from loci.model_prices")
    world.acme(budget_usd_month=100)
    world.ask()
    assert [call["cost_usd"] for call in world.calls][-1] is None
    # A budget that cannot be kept is not passed by.
    assert world.fails().sqlstate == "LC506"
    world.db.execute("insert into loci.model_prices values ('first', 0, 0)")
    world.ask()


# --- who may what -----------------------------------------------------------------------------------------------------


def test_nobody_asks_for_nobody(world: World) -> None:
    with world.acting(None) as connection, pytest.raises(psycopg.Error) as failed:
        ask(connection)
    assert failed.value.sqlstate == "LC503"
    with world.db.connect(world.db.login_role("boss", "loci_admin")) as connection:
        assert ask(connection)["status"] == "ok"
    assert world.calls[0]["organization_id"] is None
    assert world.fails(organization_id=world.people.umbrella).sqlstate == "LC504"
    assert world.ask(organization_id=world.people.acme)["status"] == "ok"


@pytest.mark.parametrize(
    "statement",
    [
        "select loci.complete('[]', model => 'gpt-4')",
        "select loci.complete('[]', temperature => 2)",
        "select loci_private.complete_for(null, null, '{}')",
        "select loci_private.run_chat('{}', '{}')",
        "select loci_private.chat_config(null, null)",
        "select loci_private.metered_calls(0)",
        "select loci_private.meter_requests('default', 1, 1, 0)",
        "select loci_private.write_calls('[]')",
        "select * from loci_private.calls",
        "select * from loci_private.requests",
        "select * from loci.call_texts",
        "select * from loci.model_prices",
        "select * from loci.gateways",
        "select loci.erase_call_texts()",
        "insert into loci.model_prices values ('x', 0, 0)",
        "update loci.organizations set chat_model = 'x'",
        "update loci.organizations set budget_usd_month = null",
        "update loci.organizations set api_key_ref = 'env:HOME'",
        "update loci.settings set value = 'x' where name = 'chat_model'",
        "select loci.add_gateway('default', 'http://evil/v1')",
    ],
)
def test_what_an_application_cannot(world: World, statement: str) -> None:
    with world.acting(world.people.ada) as connection, pytest.raises(psycopg.Error) as failed:
        connection.execute(cast(LiteralString, statement))
    assert failed.value.sqlstate in ("42501", "42883")
    assert world.server.requests == []


def test_whose_calls_are_seen(world: World) -> None:
    world.ask(purpose="of ada")
    world.drain()
    world.ask(world.people.eve, purpose="of eve")
    chief = world.db.user(f"chief.{world.people.acme}@example.org")
    world.db.execute(
        "insert into loci.organization_members (organization_id, user_id, role) values (%s, %s, 'admin')",
        world.people.acme,
        chief,
    )

    def seen(user: UUID | None) -> list[str]:
        with world.acting(user) as connection:
            rows = connection.execute("select purpose from loci.calls order by called_at").fetchall()
            used = connection.execute("select calls from loci.usage").fetchall()
            assert sum(row["calls"] for row in used) == len(rows)
            return [row["purpose"] for row in rows]

    assert seen(None) == [] and seen(world.people.ada) == [] and seen(chief) == ["of ada"]
    for role in ("loci_admin", "loci_monitor"):
        with world.db.connect(world.db.login_role("watcher", role)) as connection:
            rows = connection.execute("select purpose from loci.calls order by called_at").fetchall()
            assert [row["purpose"] for row in rows] == ["of ada", "of eve"]
            (used,) = connection.execute(
                "select sum(calls) as calls, sum(tokens) as tokens from loci.usage where kind = 'chat'"
            ).fetchall()
            assert (used["calls"], used["tokens"]) == (2, 10)


def test_texts_are_kept_only_where_that_is_wanted_and_can_be_erased(world: World) -> None:
    world.ask()
    assert world.db.rows("select * from loci.call_texts") == []
    world.set("chat_keep_texts", "true")
    world.acme(settings=Jsonb({"redact": True}))
    answer = world.ask(messages=[{"role": "user", "content": "mail bob@example.org"}])
    world.ask(world.people.eve)
    kept = world.db.rows("select * from loci.call_texts where call_id = %s", answer["call_id"])
    # As it was sent.
    assert kept[0]["messages"] == [{"role": "user", "content": "mail [EMAIL]"}]
    assert kept[0]["answer"]["content"] == "The harbour master." and kept[0]["user_id"] == world.people.ada
    assert world.db.value("select loci.erase_call_texts(user_id => %s)", world.people.ada) == 1
    assert world.db.value("select loci.erase_call_texts(before => now() - interval '1 day')") == 0
    assert world.db.value("select loci.erase_call_texts()") == 1
    world.drain()
    assert len(world.calls) == 3


def test_a_key_is_nowhere(world: World, request: pytest.FixtureRequest) -> None:
    said = []
    for behaviour in (faults.echo_key(401), faults.echo_key(400), faults.echo_key(500), faults.echo_key(429)):
        world.server.always(behaviour)
        failed = world.fails()
        said.append(f"{failed} {failed.diag.message_detail} {failed.diag.message_hint} {failed.diag.context}")
        said.append(json.dumps(world.ask(raise_error=False)))
    world.server.always(faults.hang)
    with asking(world) as running:
        said.append(str(world.db.rows("select * from pg_stat_activity where pid = %s", running.pid)))
    world.drain()
    for table in world.db.rows(
        "select c.oid::regclass::text as name from pg_class as c "
        "where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind in ('r', 'p', 'v')"
    ):
        said.append(str(world.db.rows(f"select t::text from {table['name']} as t")))
    if request.config.getoption("--server") == "local":
        home = Path(os.environ["LOCI_TEST_HOME"]) / "server"
        said.append((home / "postgresql.log").read_text(errors="replace"))
        files = [file for file in home.rglob("loci/*.meter*") if file.is_file()]
        assert files
        said += [file.read_bytes().decode(errors="replace") for file in files]
        # Neither are texts outside of the database.
        assert not any("wrote the report" in text for text in said[-len(files) :])
    pieces = [KEY[start : start + 8] for start in range(3, len(KEY) - 7)]
    assert not [piece for piece in pieces for text in said if piece in text]
    assert any(KEY in sent.headers.get("authorization", "") for sent in world.server.requests)


def test_a_forgotten_user_is_in_no_figure(world: World) -> None:
    """Not in the ledger, not in the meter's file, and not when a call that is under way ends later."""
    user = world.db.user("forgotten@example.org")
    meter = Path(world.db.value("select current_setting('data_directory')")) / "loci"
    world.ask(user)
    world.drain()
    world.ask(user)
    world.server.always(faults.after(100))
    with background(
        world.db,
        f'begin; select loci.act_as(\'{user}\'); select loci.complete(\'[{{"role": "user", "content": "x"}}]\'); commit',
    ) as asking:
        wait_until(lambda: len(world.server.requests) == 3, "it is asked")
        assert [call["user_id"] for call in world.calls] == [user] * 3
        report = world.db.rows("select * from loci.forget_user(%s)", user)
        assert {"relation": "loci.calls", "rows": 3, "what": "kept without the user's id"} in report
        world.db.execute("select pg_cancel_backend(%s)", asking.pid)
        asking.wait()
    assert [call["status"] for call in world.calls] == ["ok", "ok", "cancelled"]
    for _ in range(2):
        assert [call["user_id"] for call in world.calls] == [None] * 3
        if meter.exists():
            assert not [file for file in meter.iterdir() if str(user).encode() in file.read_bytes()]
        world.drain()
