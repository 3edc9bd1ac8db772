"""What a model wants done: tool calls become proposals, which the user decides over another login."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import openai
import pytest

from tests.gateway import fault_server as faults
from tests.shim.conftest import Client, World, data_of, text_of, token

PARAMETERS = '{"type": "object", "required": ["item"], "properties": {"item": {"type": "string", "maxLength": 20}}}'
TEA = '{"item": "tea"}'


@pytest.fixture(scope="module", autouse=True)
def orders(only_world: World) -> None:
    db = only_world.db
    db.execute(
        "create table public.orders (item text check (item <> 'sold out'), ordered_by text default current_user)"
    )
    db.execute(f'grant insert, select on public.orders to "{only_world.desk}"')
    db.execute(
        "create function public.place_order(arguments jsonb) returns jsonb language sql begin atomic "
        "insert into public.orders (item) values (arguments ->> 'item') returning jsonb_build_object('item', item); end"
    )
    db.execute(
        "select loci.register_action('place_order', 'Order something.', %s, 'public.place_order(jsonb)')", PARAMETERS
    )


@pytest.fixture(autouse=True)
def nothing_ordered(world: World) -> None:
    world.db.execute("truncate public.orders")


def call(
    arguments: str | None = None, name: str | None = None, id: str | None = None, index: Any = 0, **more: Any
) -> dict[str, Any]:
    """A delta with a piece of a tool call."""
    said = {"name": name, "arguments": arguments}
    function = {key: value for key, value in said.items() if value is not None}
    piece = {"index": index, "id": id, "type": "function", "function": function, **more}
    return {"tool_calls": [{key: value for key, value in piece.items() if value is not None}]}


def proposing(*pieces: str | dict[str, Any]) -> faults.Behaviour:
    return faults.streams(*pieces, finish_reason="tool_calls")


def decide(client: Client, proposal: dict[str, Any], what: str = "confirm", **more: Any) -> Any:
    url = f"/v1/proposals/{proposal['proposal_id']}/{what}"
    return client.shim.http.post(url, **{"headers": client.world.headers(), **more})


def test_from_a_tool_call_to_its_result(client: Client, world: World) -> None:
    """Arguments arrive in pieces, two calls at once, beside text."""
    world.server.then(
        proposing(
            "I can order tea.", call("", "place_order", "c1"), call('{"it'), call(id="c2", name="place_order", index=1),
            call('em": "tea"}'), call('{"item": "sold out"}', index=1),
        )
    )  # fmt: skip
    conversation = world.conversation()
    events = client.events(conversation, "Order tea.")
    assert [event.event for event in events] == ["message", "proposal", "proposal", "usage", "done"]
    tea, lost = data_of(events, "proposal")
    assert (tea["action"], tea["arguments"], tea["status"]) == ("place_order", {"item": "tea"}, "proposed")
    assert 'item: "tea"' in tea["summary"] and tea["expires_at"]
    assert [tool["function"]["name"] for tool in world.server.requests[0].body["tools"]] == ["place_order"]
    assert world.db.rows("select from public.orders") == []

    assert decide(client, tea, headers=world.headers(world.people.bob)).status_code == 404
    confirmed = {"status": "confirmed", "result": {"item": "tea"}, "error": None, "ran": True}
    assert decide(client, tea).json() == confirmed
    assert decide(client, tea).json() == confirmed | {"ran": False}
    # What its error says is of a table that the user knows nothing of.
    failed = decide(client, lost).json()
    assert failed["status"] == "failed" and failed["error"] == {"code": "23514", "title": "the action failed"}
    assert world.db.rows("select * from public.orders") == [{"item": "tea", "ordered_by": world.desk}]

    world.server.then(faults.streams("It is on its way."))
    client.events(conversation, "And?")
    told = json.dumps(world.server.requests[1].body["messages"])
    assert "I can order tea." in told and "confirmed" in told and "failed" in told


def test_as_json_and_rejected(client: Client, world: World) -> None:
    world.server.then(proposing(call(TEA, "place_order", "c1")))
    conversation = world.conversation()
    answer = client.ask(conversation, "Order tea.").json()
    assert (answer["content"], answer["status"]) == ("", "complete")
    (proposal,) = answer["proposals"]
    assert proposal["arguments"] == {"item": "tea"} and proposal["status"] == "proposed"
    assert decide(client, proposal, "reject", json={"reason": "too late"}).json() == {"rejected": True}
    again = decide(client, proposal)
    assert (again.status_code, again.json()["code"]) == (409, "LC742")
    assert world.db.value("select reason from loci_private.proposals where status = 'rejected'") == "too late"


@pytest.mark.parametrize(
    "said",
    [
        call('{"item": "te', "place_order", "c1"),
        call('{"item": "a\\u0000b"}', "place_order", "c1"),
        call("\ud83d\0", "place_order", "c1"),
        call(TEA, "drop_everything", "c1"),
        call('{"item": 1}', "place_order", "c1"),
    ],
)
def test_calls_that_are_refused(client: Client, world: World, said: dict[str, Any]) -> None:
    """The turn is whole; what was wrong is for the model to hear."""
    world.server.then(proposing("Well. ", said))
    events = client.events(world.conversation(), "Order tea.")
    assert [event.event for event in events] == ["message", "proposal", "usage", "done"]
    (proposal,) = data_of(events, "proposal")
    assert proposal["status"] == "refused" and proposal["reason"]
    assert data_of(events, "done")[0]["status"] == "complete"
    assert decide(client, proposal).json()["ran"] is False


@pytest.mark.parametrize(
    "pieces",
    [
        # Gateways that number nothing, or everything the same: another id is another call.
        [call(TEA, "place_order", "c1"), call(TEA, "place_order", "c2")],
        [call(TEA, "place_order", "c1", None), call(TEA, "place_order", "c2", None)],
        # The id late, again, or never.
        [call("", "place_order"), call(TEA, id="c1"), call("", "place_order", "c2", 1), call(TEA, id="c2", index=1)],
        [call(TEA, "place_order", index=1), call(TEA, "place_order", index=0)],
    ],
)
def test_gateways_have_their_ways(client: Client, world: World, pieces: list[dict[str, Any]]) -> None:
    world.server.then(proposing(*pieces))
    events = client.events(world.conversation(), "Order tea twice.")
    proposals = data_of(events, "proposal")
    assert [(each["arguments"], each["status"]) for each in proposals] == [({"item": "tea"}, "proposed")] * 2


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": 1}, {"tool_calls": ["x"]}, {"tool_calls": [{"index": []}]}, {"tool_calls": [{"function": "x"}]},
        {"tool_calls": [{"index": 0, "function": {"name": "place_order", "arguments": {"item": "tea"}}}]},
        {"tool_calls": [{"index": 0, "id": 7, "function": {"name": "place_order"}}]}, {"content": ["x"]}, {"content": 7},
        call("x" * 1_000_001, "place_order"),
    ],
)  # fmt: skip
def test_what_is_no_call_ends_the_turn(client: Client, world: World, delta: dict[str, Any]) -> None:
    world.server.then(faults.streams("Half.", delta))
    conversation = world.conversation()
    answer = client.ask(conversation)
    assert (answer.status_code, answer.json()["code"]) == (502, "LC407")
    assert world.answered(conversation, "failed") == "Half."


def test_what_was_not_said_to_the_end_is_not_proposed(client: Client, world: World) -> None:
    world.server.then(faults.streams(call(TEA, "place_order", "c1"), end=faults.reset))
    events = client.events(world.conversation(), "Order tea.")
    assert data_of(events, "proposal") == [] and data_of(events, "done")[0]["status"] == "failed"


def test_clients_of_openai(client: Client, world: World) -> None:
    """They run no tools: proposals are beside the answer, which is finished."""
    official = openai.OpenAI(base_url=f"{client.shim.url}/v1", api_key=token(world.people.ada), max_retries=0)
    world.server.always(proposing("Shall I?", call(TEA, "place_order", "c1")))
    question: Any = [{"role": "user", "content": "Order tea."}]
    whole = official.chat.completions.create(model="any", messages=question)
    assert whole.choices[0].finish_reason == "stop" and whole.choices[0].message.tool_calls is None
    assert whole.model_extra is not None
    *said, last = official.chat.completions.create(model="any", messages=question, stream=True)
    assert [chunk.choices[0].delta.content for chunk in said] == ["Shall I?"]
    assert last.choices[0].finish_reason == "stop" and last.model_extra is not None
    for extra in (whole.model_extra, last.model_extra):
        (proposal,) = extra["loci"]["proposals"]
        assert decide(client, proposal).json()["ran"] is True
    world.server.always(proposing(call(TEA, "place_order", "c1")))
    silent = list(official.chat.completions.create(model="any", messages=question, stream=True))
    assert [(chunk.choices[0].delta.role, chunk.choices[0].finish_reason) for chunk in silent] == [
        ("assistant", "stop")
    ]
    assert official.chat.completions.create(model="any", messages=question).choices[0].message.content == ""


def test_without_a_login_for_decisions(new_client: Callable[..., Client], world: World) -> None:
    client = new_client(decisions_dsn="")
    world.server.then(proposing(call(TEA, "place_order", "c1")))
    (proposal,) = client.ask(world.conversation(), "Order tea.").json()["proposals"]
    for what in ("confirm", "reject"):
        answer = decide(client, proposal, what)
        assert (answer.status_code, answer.json()["code"]) == (501, "LC800")
    assert client.shim.http.get("/readyz").status_code == 200
    assert proposal["status"] == "proposed" and world.db.rows("select from public.orders") == []


def test_a_login_that_proposes_decides_nothing(new_client: Callable[..., Client], world: World) -> None:
    db = world.db
    both = db.login_role("both", "loci_app", "loci_proposer", "loci_approver")
    client = new_client(decisions_dsn=db.dsn_as(both))
    world.server.then(proposing(call(TEA, "place_order", "c1")))
    (proposal,) = client.ask(world.conversation(), "Order tea.").json()["proposals"]
    answer = decide(client, proposal)
    assert (answer.status_code, answer.json()["code"]) == (503, "LC743") and both not in answer.text
    assert db.rows("select from public.orders") == []


@pytest.mark.parametrize("what", ["confirm", "reject"])
def test_proposals_that_are_none(client: Client, what: str) -> None:
    answer = decide(client, {"proposal_id": uuid4()}, what)
    assert (answer.status_code, answer.json()["code"]) == (404, "LC740")


def test_text_and_calls_are_stored_once(client: Client, world: World) -> None:
    world.server.then(proposing("I can.", call(TEA, "place_order", "c1")))
    conversation = world.conversation()
    assert text_of(client.events(conversation, "Order tea.")) == "I can."
    assert world.messages(conversation)[1:] == [("assistant", "I can.", "complete")]
