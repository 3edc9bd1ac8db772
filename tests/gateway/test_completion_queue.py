"""Submitted completions: answered by the drain, under the drain's laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest

from tests.database import Database, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer
from tests.gateway.test_completions import World as Completions
from tests.pipeline.background import activity, background, leased

NOON = datetime(2031, 5, 6, 12, 0, 0, tzinfo=UTC)
KEY = "sk-queue-5b8e13f7ca206d94"


class World(Completions):
    """Its clock stands at noon."""

    def at(self, seconds: float) -> None:
        self.db.set_clock((NOON + timedelta(seconds=seconds)).isoformat())

    def submit(self, text: str = "Who wrote the report?", user: UUID | None = None, **more: Any) -> UUID:
        messages = [{"role": "user", "content": text}]
        return cast(UUID, self.ask(user, messages, "submit", **more))

    def result(self, request: UUID, user: UUID | None = None) -> dict[str, Any]:
        with self.acting(user or self.people.ada) as connection:
            row = connection.execute("select * from loci.result(%s)", (request,)).fetchone()
            assert row is not None
            return row

    def status(self, request: UUID) -> str:
        return str(self.result(request)["status"])

    @property
    def queue(self) -> list[dict[str, Any]]:
        return self.db.rows(
            "select attempts, lease, last_error ->> 'sqlstate' as code, "
            "extract(epoch from available_at - loci_private.now())::integer as wait "
            "from loci_private.completion_queue where available_at > '-infinity' or attempts > 0 order by queue_id"
        )


@pytest.fixture(scope="module")
def only_world(db: Database) -> Iterator[World]:
    world = World(db)
    yield world
    world.app.close()


@pytest.fixture(scope="module")
def key_file(file_on_server: Callable[[str], str]) -> str:
    return file_on_server(KEY)


@pytest.fixture
def world(only_world: World, fault_server: FaultServer, key_file: str) -> World:
    only_world.begin(fault_server, key_file)
    only_world.at(0)
    return only_world


def test_requests_are_answered_side_by_side(world: World) -> None:
    world.set("chat_max_in_flight", 3)
    world.server.always(faults.after(0.3))
    requests = [world.submit(f"number {n}") for n in range(7)]
    assert world.result(requests[0]) == {"status": "queued", "result": None, "error": None, "next_attempt": None}
    with world.db.connect() as listener:
        listener.execute("listen loci_completions")
        world.drain()
        heard = [UUID(notice.payload) for notice in listener.notifies(timeout=0.5)]
    assert set(heard) == set(requests)
    assert world.server.most_in_flight == 3
    for request in requests:
        found = world.result(request)
        assert (found["status"], found["result"]["content"]) == ("done", "The harbour master.")
        assert found["result"]["request_id"] == str(request)
    assert {call["request_id"] for call in world.calls} == set(requests)
    assert {call["user_id"] for call in world.calls} == {world.people.ada}


def test_json_and_tools(world: World) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    one, two = world.submit("one", schema=schema), world.submit("two", tools=[tool])
    world.server.when("one", faults.calls({"n": 1}))
    world.server.when("two", faults.calls({"n": 2}, name="find"))
    world.drain()
    assert world.result(one)["result"]["value"] == {"n": 1}
    assert world.result(two)["result"]["tool_calls"][0]["arguments"] == {"n": 2}


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ({"messages": []}, "LC501"), ({"tools": []}, "LC502"), ({"schema": {"type": 7}}, "LC512"), ({"purpose": ""}, "LC516"),
        ({"traceparent": "x"}, "LC517"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_at_once(world: World, arguments: dict[str, Any], sqlstate: str) -> None:
    assert world.fails(function="submit", **arguments).sqlstate == sqlstate


def test_too_much_is_refused_at_once(world: World) -> None:
    world.set("max_waiting_requests", 2)
    world.submit()
    world.submit()
    assert world.fails(function="submit").sqlstate == "LC514"
    world.submit(user=world.people.bob)
    world.set("chat_max_bytes", 1000)
    assert (
        world.fails(world.people.eve, [{"role": "user", "content": "x"}] * 5000, function="submit").sqlstate == "LC518"
    )


def test_a_result_is_for_who_asked(world: World) -> None:
    request = world.submit()
    world.drain()
    for user in (world.people.bob, world.people.eve, None):
        with world.acting(user) as connection, pytest.raises(psycopg.Error) as failed:
            connection.execute("select * from loci.result(%s)", (request,))
        assert failed.value.sqlstate == "LC520"
    with world.db.connect(world.db.login_role("boss", "loci_admin")) as connection:
        assert connection.execute("select status from loci.result(%s)", (request,)).fetchone() == {"status": "done"}
    for statement in (
        "select * from loci_private.requests",
        "select * from loci_private.claim_requests(gen_random_uuid())",
    ):
        with world.acting(world.people.ada) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(cast(LiteralString, statement))


def test_results_expire(world: World) -> None:
    request = world.submit()
    world.drain()
    world.at(25 * 3600)
    with pytest.raises(psycopg.Error) as failed:
        world.result(request)
    assert failed.value.sqlstate == "LC520"
    assert world.db.value("select loci_private.job_calls()") == 1
    assert world.db.rows("select * from loci_private.requests") == []


# --- the laws ---------------------------------------------------------------------------------------------------------


def test_nothing_is_held_while_a_model_is_asked(world: World) -> None:
    world.server.always(faults.hang)
    request = world.submit()
    with background(world.db) as drain:
        wait_until(lambda: world.server.in_flight, "the model is being asked")

        def free() -> bool:
            seen = activity(world.db, drain.pid) or {}
            return seen["backend_xid"] is None and seen["backend_xmin"] is None and not seen["locks"]

        wait_until(free, "no snapshot, no lock")
        assert world.status(request) == "running"
        world.db.execute("select pg_cancel_backend(%s)", drain.pid)
        drain.wait()
        assert drain.error is not None and drain.error.sqlstate == "57014"
    # It costs no attempt, and is free at once.
    assert leased(world.db, "completion_queue") == 0 and world.queue == []
    world.server.always(faults.ok())
    world.drain()
    assert world.status(request) == "done"


def test_a_cancel_keeps_the_answers_that_have_come(world: World) -> None:
    one, two = world.submit("quick"), world.submit("slow")
    world.server.when("slow", faults.hang)
    answered = faults.ok()
    done: list[bool] = []

    def quick(exchange: faults.Exchange) -> None:
        answered(exchange)
        done.append(True)

    world.server.when("quick", quick)
    with background(world.db) as drain:
        wait_until(lambda: done and world.server.count("slow"), "one is answered, the other is not")
        wait_until(lambda: [c["status"] for c in world.calls].count("ok") == 1, "the answer has been read")
        world.db.execute("select pg_cancel_backend(%s)", drain.pid)
        drain.wait()
    assert (world.status(one), world.status(two)) == ("done", "queued")


def test_429_costs_no_attempt_and_is_waited_for(world: World) -> None:
    world.server.always(faults.status(429, retry_after="90"))
    requests = [world.submit() for _ in range(3)]
    world.drain()
    asked = len(world.server.requests)
    assert asked == 3 and world.queue == []
    (waiting,) = world.db.rows("select * from loci.failures")
    assert (waiting["state"], waiting["code"], waiting["key"]) == ("waiting", "LC401", "default")
    world.drain()
    assert len(world.server.requests) == asked, "it is left alone"
    world.at(91)
    world.server.always(faults.ok())
    world.drain()
    assert [world.status(request) for request in requests] == ["done"] * 3
    assert world.db.rows("select * from loci.failures") == []


@pytest.mark.parametrize("fault", [faults.status(500), faults.reset, faults.body(b"oops")])
def test_an_outage_costs_no_attempt(world: World, fault: faults.Behaviour) -> None:
    world.server.always(fault)
    requests = [world.submit() for _ in range(3)]
    for hour in range(6):
        world.at(hour * 3600)
        world.drain()
    assert all(row["attempts"] == 0 and row["code"] for row in world.queue) and len(world.queue) == 3
    (component,) = world.db.rows("select ok, detail from loci.status() where component = 'chat'")
    assert not component["ok"] and "left alone" in component["detail"]
    # After the first time one request and a harmless one find out.
    assert len(world.server.requests) == 3 + 1 + 5 * 2 and world.server.count("Hello") == 6
    world.server.always(faults.ok())
    world.at(7 * 3600)
    world.drain()
    assert [world.status(request) for request in requests] == ["done"] * 3


def test_a_request_that_the_gateway_fails_at_is_parked_and_others_are_answered(world: World) -> None:
    bad = world.submit("poison")
    world.server.when("poison", faults.status(500))
    for hour in range(5):
        good = world.submit("good")
        world.at(hour * 3600)
        world.drain()
        assert world.status(good) == "done"
    found = world.result(bad)
    assert (found["status"], found["error"]["sqlstate"]) == ("failed", "LC402")
    (failure,) = world.db.rows("select * from loci.failures")
    assert (failure["state"], failure["stage"], failure["key"], failure["attempts"]) == (
        "parked",
        "complete",
        str(bad),
        4,
    )
    assert world.db.value("select loci.retry_failures('documents')") == 0
    world.server.clear()
    assert world.db.value("select loci.retry_failures()") == 1
    world.drain()
    assert world.status(bad) == "done" and world.db.rows("select * from loci.failures") == []


def test_a_poisonous_request_alone_is_parked_too(world: World) -> None:
    bad = world.submit("poison")
    world.server.when("poison", faults.reset)
    for hour in range(5):
        world.at(hour * 3600)
        world.drain()
    assert world.status(bad) == "failed" and world.server.count("Hello") == 4


def test_what_can_never_work_is_parked_at_once(world: World) -> None:
    request = world.submit()
    member = world.db.rows("delete from loci.organization_members where user_id = %s returning *", world.people.ada)[0]
    try:
        world.drain()
        found = world.result(request)
        assert (found["status"], found["error"]["sqlstate"]) == ("failed", "LC504")
        assert world.server.requests == []
    finally:
        world.db.execute(
            "insert into loci.organization_members (organization_id, user_id, joined_at) values (%s, %s, %s)",
            member["organization_id"],
            member["user_id"],
            member["joined_at"],
        )


def test_what_is_not_set_up_waits_without_an_attempt(world: World) -> None:
    world.acme(chat_model="misspelt")
    ada, eve = world.submit(), world.submit(user=world.people.eve)
    world.server.always(lambda e: (faults.status(404) if e.request.body["model"] == "misspelt" else faults.ok())(e))
    world.drain()
    # One organization's mistake is nobody else's.
    assert world.status(ada) == "queued" and world.result(eve, world.people.eve)["status"] == "done"
    assert [(row["attempts"], row["code"], row["wait"]) for row in world.queue] == [(0, "LC405", 300)]
    world.acme(chat_model=None)
    world.at(301)
    world.drain()
    assert world.status(ada) == "done"


def test_limits_are_waited_for(world: World) -> None:
    world.set("chat_user_requests_per_minute", 1)
    one, two = world.submit(), world.submit()
    world.drain()
    assert [world.status(one), world.status(two)] == ["done", "queued"]
    (waiting,) = world.queue
    assert (waiting["attempts"], waiting["code"]) == (0, "LC507") and 0 < waiting["wait"] <= 60
    world.at(61)
    world.drain()
    assert world.status(two) == "done"
    world.set("chat_user_requests_per_minute", 1000)
    world.acme(budget_usd_month=0)
    three = world.submit()
    world.drain()
    assert world.result(three)["error"]["sqlstate"] == "LC505"
    world.acme(budget_usd_month=None)
    world.at(3700)
    world.drain()
    assert world.status(three) == "done"


def test_the_gateways_limit_is_shared_with_embedding(world: World) -> None:
    world.gateway(requests_per_minute=3)
    assert world.db.value("select loci_private.take_requests('default', 2)") == 2
    requests = [world.submit() for _ in range(2)]
    world.db.drain(1)
    assert sorted(map(world.status, requests)) == ["done", "queued"] and world.queue == []
    assert world.db.value("select loci_private.take_requests('default', 2)") == 0
    world.at(61)
    world.drain()
    assert list(map(world.status, requests)) == ["done", "done"]


def test_two_drains_answer_each_request_once(world: World) -> None:
    world.set("chat_max_in_flight", 4)
    world.server.always(faults.after(0.2))
    requests = [world.submit(f"number {n}.") for n in range(12)]
    with background(world.db) as one, background(world.db) as two:
        one.finish()
        two.finish()
    wait_until(
        lambda: not world.db.rows("select from loci_private.completion_queue") or world.drain(), "all are answered"
    )
    assert {world.status(request) for request in requests} == {"done"}
    assert [world.server.count(f"number {n}.") for n in range(12)] == [1] * 12


def test_whoever_goes_takes_their_requests_along(world: World) -> None:
    user = world.db.user(f"gone.{world.server.port}@example.org")
    world.db.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", world.people.acme, user
    )
    world.set("chat_keep_texts", "true")
    world.submit(user=user)
    world.drain()
    world.submit(user=user)
    world.db.execute("delete from loci.users where user_id = %s", user)
    assert world.db.rows("select * from loci_private.completion_queue") == []
    assert world.db.rows("select * from loci_private.requests") == [] == world.db.rows("select * from loci.call_texts")
    assert [call["user_id"] for call in world.calls] == [user]


def test_the_ledger_has_a_partition_a_month(world: World) -> None:
    for day in (0, 31, 62):
        world.at(day * 86400)
        world.ask()
        world.drain()

    def partitions() -> list[str]:
        rows = world.db.rows(
            "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'loci_private.calls'::regclass"
        )
        return sorted(row["name"].removeprefix("loci_private.calls_") for row in rows)

    assert {"2031_05", "2031_06", "2031_07"} <= set(partitions())
    world.set("call_retention_months", 1)
    world.db.execute("select loci_private.job_calls()")
    assert [name for name in partitions() if name >= "2031"] == ["2031_06", "2031_07", "2031_08"]
    assert [call["status"] for call in world.calls] == ["ok", "ok"]
