"""A model proposes through tool calls, the user decides elsewhere, and the next turn knows what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.actions import SCHEMA, Shop, open_shop
from tests.database import Database
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer


@pytest.fixture(scope="module")
def shop(db: Database) -> Iterator[Shop]:
    with open_shop(db) as shop:
        db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
        yield shop


@pytest.fixture(autouse=True)
def gateway(shop: Shop, fault_server: FaultServer) -> FaultServer:
    shop.db.execute("select loci.add_gateway('default', %s, requests_per_minute => 100000)", fault_server.base_url)
    shop.db.forget_requests()
    return fault_server


def chat(shop: Shop, conversation: UUID, content: str) -> dict[str, Any]:
    with shop.agent_for(shop.people.ada) as connection:
        row = connection.execute("select * from loci.chat(%s, %s)", (conversation, content)).fetchone()
    assert row is not None
    return row


def sent(gateway: FaultServer) -> dict[str, Any]:
    body = gateway.requests[-1].body
    assert isinstance(body, dict)
    return body


def test_from_a_tool_call_to_the_next_turn(shop: Shop, gateway: FaultServer) -> None:
    ada = shop.people.ada
    conversation = shop.conversation(ada)
    gateway.then(
        faults.calls({"title": "green tea", "amount": 2}, {"amount": "much"}, name="place_order"), faults.says("Done.")
    )
    turn = chat(shop, conversation, "Order two green teas.")
    (tool,) = sent(gateway)["tools"]
    assert tool["function"] == {"name": "place_order", "description": "Order something.", "parameters": SCHEMA}
    assert "never that it is done" in sent(gateway)["messages"][0]["content"]
    good, bad = turn["proposals"]
    assert turn["reply"] is None
    assert (good["action"], good["status"], good["arguments"]) == (
        "place_order", "proposed", {"title": "green tea", "amount": 2},
    )  # fmt: skip
    assert bad["status"] == "refused" and bad["reason"]
    assert shop.orders("green tea") == 0

    assert shop.confirm(ada, UUID(good["proposal_id"]))["status"] == "confirmed"
    assert shop.orders("green tea") == 1
    chat(shop, conversation, "And?")
    system = sent(gateway)["messages"][0]["content"]
    assert "<actions>" in system and "was confirmed and done; result: " in system and "order_id" in system


def test_a_schema_is_offered_as_it_was_registered(shop: Shop, gateway: FaultServer) -> None:
    parameters = {"type": "object", "properties": {"note": {"type": ["string", "null"], "default": None}}}
    shop.register("take_note", parameters=parameters)
    gateway.then(faults.says("Yes?"))
    try:
        chat(shop, shop.conversation(shop.people.ada), "Hello.")
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in sent(gateway)["tools"]}
        assert offered["take_note"] == parameters
    finally:
        shop.db.execute("select loci.unregister_action('take_note')")


def test_a_client_that_streams_hands_them_in(shop: Shop) -> None:
    conversation = shop.conversation(shop.people.ada)
    calls = [
        {"id": "1", "type": "function", "function": {"name": "place_order", "arguments": json.dumps({"title": "x"})}}
    ]
    with shop.agent_for(shop.people.ada) as connection:
        turn = connection.execute("select * from loci.begin_turn(%s, 'Order x.')", (conversation,)).fetchone()
    assert turn is not None and len(turn["request"]["tools"]) == 1
    for _ in range(2):
        with shop.agent_for(shop.people.ada) as connection:
            done = connection.execute(
                "select * from loci.finish_turn(%s, null, tool_calls => %s)", (turn["turn_id"], Jsonb(calls))
            ).fetchone()
        assert done is not None and [p["arguments"] for p in done["proposals"]] == [{"title": "x"}]


def test_what_was_cut_off_is_not_proposed(shop: Shop) -> None:
    conversation = shop.conversation(shop.people.ada)
    calls = [{"id": "1", "type": "function", "function": {"name": "place_order", "arguments": '{"title": "x"}'}}]
    with shop.agent_for(shop.people.ada) as connection:
        turn = connection.execute("select * from loci.begin_turn(%s, 'Order x.')", (conversation,)).fetchone()
    assert turn is not None
    with shop.agent_for(shop.people.ada) as connection:
        done = connection.execute(
            "select * from loci.finish_turn(%s, 'I will', status => 'cancelled', tool_calls => %s)",
            (turn["turn_id"], Jsonb(calls)),
        ).fetchone()
    assert done is not None and done["proposals"] == []


@pytest.mark.parametrize("calls", ["{}", "1", "null"])
def test_calls_are_an_array(shop: Shop, calls: str) -> None:
    conversation = shop.conversation(shop.people.ada)
    with shop.agent_for(shop.people.ada) as connection:
        turn = connection.execute("select * from loci.begin_turn(%s, 'Order x.')", (conversation,)).fetchone()
    assert turn is not None
    with (
        pytest.raises(psycopg.DatabaseError, match="tool_calls are a JSON array") as caught,
        shop.agent_for(shop.people.ada) as connection,
    ):
        connection.execute("select loci.finish_turn(%s, 'yes', tool_calls => %s::jsonb)", (turn["turn_id"], calls))
    assert caught.value.sqlstate == "LC712"


def test_a_login_that_may_not_propose_is_offered_nothing(shop: Shop, gateway: FaultServer) -> None:
    gateway.always(faults.says("Hello."))
    conversation = shop.conversation(shop.people.ada)
    with shop.db.acting(shop.people.ada) as connection:
        connection.execute("select loci.chat(%s, 'Order tea.')", (conversation,))
    assert "tools" not in sent(gateway)
