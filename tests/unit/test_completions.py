"""What may be asked of a chat model, what leaves for it, what is read from its answers, and what all of it costs."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.completions import (
    read_config,
    read_reply,
    read_request,
    redact_messages,
    redact_schema,
)
from loci_udfs.errors import LociError
from loci_udfs.gateway import GatewayError
from loci_udfs.json_schema import Schema
from loci_udfs.meter import LimitError, Limits, Meter

USER = {"role": "user", "content": "Who wrote the report?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"who": "ada"}'}}
TOOL = {"type": "function", "function": {"name": "find", "description": "Find it", "parameters": {"type": "object"}}}


def code(act: Callable[[], Any]) -> str:
    with pytest.raises(LociError) as failed:
        act()
    assert failed.value.hint or failed.value.detail
    return failed.value.sqlstate


# --- requests ---------------------------------------------------------------------------------------------------------


def test_what_may_be_asked() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "nobody"},
    ]
    request = read_request({"messages": messages, "tools": [TOOL], "tool_choice": "auto", "schema": None})
    assert request.messages == messages and request.purpose == "general" and request.schema is None
    named = {"type": "function", "function": {"name": "find"}}
    assert read_request({"messages": [USER], "tools": [TOOL], "tool_choice": named}).tool_choice == named


@pytest.mark.parametrize(
    "messages",
    [
        None, [], {}, "Hello", [None], ["Hello"], [{}], [{"role": "user"}], [{"role": "user", "content": None}],
        [{"role": "boss", "content": "x"}], [{"role": ["user"], "content": "x"}], [{"role": "user", "content": 1}],
        [{"role": "user", "content": "x", "model": "gpt-4"}],
        # No address that somebody else would fetch, no file, no sound.
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}],
        [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}],
        [{"role": "user", "content": "x", "name": "no names\n"}],
        [{"role": "user", "content": "x", "tool_calls": [CALL]}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": None, "tool_calls": [{**CALL, "type": "web_search"}]}],
        [{"role": "tool", "content": "x"}], [{"role": "user", "content": "x", "tool_call_id": "1"}],
        [USER] * 10_001,
    ],
)  # fmt: skip
def test_messages_that_are_none(messages: Any) -> None:
    assert code(lambda: read_request({"messages": messages})) == "LC501"


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([], None), ({}, None), ([{}], None), ([{"type": "web_search"}], None), ([TOOL, TOOL], None), ([TOOL] * 129, None),
        ([{**TOOL, "url": "http://x"}], None), ([{"type": "function", "function": {"name": "no names"}}], None),
        ([{"type": "function", "function": {"name": "f", "parameters": []}}], None),
        (None, "auto"), ([TOOL], "find"), ([TOOL], {"type": "function", "function": {"name": "other"}}), ([TOOL], ["auto"]),
    ],
)  # fmt: skip
def test_tools_that_are_none(tools: Any, choice: Any) -> None:
    assert code(lambda: read_request({"messages": [USER], "tools": tools, "tool_choice": choice})) == "LC502"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "content", "type", "text", "function", "name", "tool_calls", "id"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_nonsense_is_refused_and_nothing_worse(nonsense: Any) -> None:
    for given_ in ({"messages": nonsense}, {"messages": [USER], "tools": nonsense, "tool_choice": nonsense}):
        try:
            read_request(given_)
        except LociError as error:
            assert error.sqlstate in ("LC501", "LC502")


def test_purpose_and_trace() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert read_request({"messages": [USER], "purpose": "chat/turn 2", "traceparent": trace}).traceparent == trace
    for purpose in ("", "x" * 101, "a\nb", "ü", 7):
        assert code(lambda purpose=purpose: read_request({"messages": [USER], "purpose": purpose})) == "LC516"  # type: ignore[misc]
    for bad in ("", "x", trace + "\r\nX-Evil: 1", trace.upper(), "00-" + "0" * 32 + trace[35:], trace + "\n"):
        assert code(lambda bad=bad: read_request({"messages": [USER], "traceparent": bad})) == "LC517"  # type: ignore[misc]


def test_without_a_model_nothing_is_asked() -> None:
    assert code(lambda: read_config({"models": []})) == "LC500"


# --- what leaves ------------------------------------------------------------------------------------------------------


def hide(text: str) -> str:
    return re.sub(r"ada@example\.org|4111111111111111", "[HIDDEN]", text)


def test_every_text_of_a_message_is_redacted() -> None:
    arguments = json.dumps({"to": "ada@example.org", "card": 4111111111111111, "n": 7, "ada@example.org": [True, "x"]})
    messages = [
        {"role": "system", "content": "Write to ada@example.org"},
        {"role": "user", "content": [{"type": "text", "text": "ada@example.org"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "send", "arguments": arguments}},
                {"id": "2", "type": "function", "function": {"name": "send", "arguments": "{ada@example.org"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "sent to ada@example.org"},
    ]
    shown = redact_messages(messages, hide)
    assert "ada@" not in json.dumps(shown) and "4111" not in json.dumps(shown)
    assert json.loads(shown[2]["tool_calls"][0]["function"]["arguments"])["n"] == 7
    # What was given stays as it was.
    assert "ada@example.org" in json.dumps(messages)


def test_what_a_schema_says_is_redacted_and_its_structure_is_not() -> None:
    schema = {
        "type": "object",
        "description": "about ada@example.org",
        "properties": {
            "description": {"type": "string", "enum": ["ada@example.org", "x"]},
            "ada@example.org": {"const": 1},
        },
        "required": ["ada@example.org"],
    }
    shown = redact_schema(schema, hide)
    assert shown["description"] == "about [HIDDEN]" and shown["properties"]["description"]["enum"] == ["[HIDDEN]", "x"]
    assert shown["required"] == ["ada@example.org"] and "ada@example.org" in shown["properties"]


# --- what comes back --------------------------------------------------------------------------------------------------


def answer(message: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}], **more}


def test_replies() -> None:
    reply = read_reply(answer({"content": "a\0b\ud800"}, usage={"prompt_tokens": 3, "completion_tokens": True}))
    assert (reply.content, reply.tokens_in, reply.tokens_out, reply.finish_reason) == ("ab\ufffd", 3, None, "stop")
    assert read_reply(answer({"content": [{"type": "text", "text": "a"}, {"text": "b"}, None]})).content == "ab"
    assert read_reply(answer({"content": 7})).content is None
    calls = [
        CALL,
        {"function": {"name": "f", "arguments": "{'a': 1,}"}},
        {"function": {"name": "g", "arguments": "oops"}},
        7,
    ]
    reply = read_reply(answer({"content": None, "tool_calls": calls}))
    assert [call["arguments"] for call in reply.tool_calls] == [{"who": "ada"}, {"a": 1}, None]
    assert reply.tool_calls[2]["text"] == "oops" and reply.tool_calls[1]["id"]


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": {}}, {"choices": [None]}, {"choices": [{}]}, answer("x")]
)
def test_answers_that_are_none(body: Any) -> None:
    with pytest.raises(GatewayError) as failed:
        read_reply(body)
    assert failed.value.sqlstate == "LC407" and failed.value.kind == "outage"


# --- schemas ----------------------------------------------------------------------------------------------------------

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer"}},
    "required": ["name"],
}


def test_what_fits_a_schema() -> None:
    schema = Schema(PERSON)
    assert schema.fits({"name": "Ada", "age": 36}) and not schema.wraps and schema.parameters == PERSON
    problems = schema.problems({"name": "ada lovelace", "age": "secret"})
    assert [logged for logged, _ in problems] == ["$.name breaks pattern", "$.age breaks type"]
    # The model is told more than a log.
    assert "secret" not in str([logged for logged, _ in problems]) and "secret" in problems[1][1]
    listed = Schema({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    assert listed.wraps and listed.parameters["required"] == ["answer"]
    assert listed.fits([1, 2]) and not listed.fits([1, 1.0]) and not listed.fits([1, "1"])


@pytest.mark.parametrize(
    "schema",
    [
        [], "x", True, {"type": "no-such-type"}, {"properties": 7}, {"type": "object", "patternProperties": {"(a+)+$": {}}},
        {"type": "string", "description": "x" * 100_001},
    ],
)  # fmt: skip
def test_schemas_that_are_none(schema: Any) -> None:
    assert code(lambda: Schema(schema)) == "LC512"


def test_nothing_is_fetched_for_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    for reference in ("http://127.0.0.1:9/schema.json", "file:///etc/passwd", "#/$defs/missing"):
        schema = Schema({"type": "object", "properties": {"a": {"$ref": reference}}})
        assert code(lambda schema=schema: schema.problems({"a": 1})) == "LC512"  # type: ignore[misc]


def test_no_schema_holds_a_process_up() -> None:
    doubling: dict[str, Any] = {"d0": {"type": "integer"}}
    for n in range(1, 40):
        doubling[f"d{n}"] = {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2}
    schema = Schema({"$ref": "#/$defs/d39", "$defs": doubling})
    assert code(lambda: schema.problems(1)) == "LC512"
    endless = Schema({"$ref": "#"})
    assert code(lambda: endless.problems(1)) == "LC512"
    seen = []
    Schema({"type": "array", "items": {"type": "integer"}}, checkpoint=lambda: seen.append(1)).problems([1] * 5000)
    assert seen


# --- the meter --------------------------------------------------------------------------------------------------------

NOON = 1_900_000_000.0 - 1_900_000_000.0 % 60
FREE = Limits(1000, 1000, 1000, 1000)


def record(number: int, organization: str = "acme", user: str = "ada", **more: Any) -> dict[str, Any]:
    ids = {"call_id": str(number), "organization_id": organization, "user_id": user}
    return {**ids, "gateway": "default", "model": "m", **more}


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    return Meter(tmp_path / "loci" / "1.meter")


def begin(meter: Meter, number: int, limits: Limits = FREE, now: float = NOON, **more: Any) -> None:
    estimate = more.pop("estimate", None)
    meter.begin(record(number, **more), limits, now=now, seconds=40, estimate=estimate)


def test_a_minute_has_its_requests(meter: Meter) -> None:
    assert [meter.take("default", 3, 5, NOON) for _ in range(3)] == [3, 2, 0]
    assert meter.take("other", 3, 5, NOON) == 3 and meter.take("default", 3, 5, NOON + 60) == 3
    # A call is one of them.
    with pytest.raises(LimitError) as failed:
        for number in range(3):
            begin(meter, number, Limits(5, 1000, 1000, 1000), NOON + 75)
    assert (failed.value.sqlstate, failed.value.shared, failed.value.retry_after) == ("LC509", True, 45.0)
    assert "Try again in 45 seconds" in str(failed.value.detail)


@pytest.mark.parametrize(
    ("limits", "sqlstate", "others"),
    [
        (Limits(1000, 1000, 2, 1000), "LC507", {"user": "bob"}),
        (Limits(1000, 1000, 1000, 2), "LC508", {"organization": "umbrella"}),
        (Limits(1000, 2, 1000, 1000), "LC510", {"gateway": "other"}),
    ],
)
def test_limits_are_everybodys_own(meter: Meter, limits: Limits, sqlstate: str, others: dict[str, Any]) -> None:
    begin(meter, 1, limits)
    begin(meter, 2, limits)
    with pytest.raises(LimitError) as failed:
        begin(meter, 3, limits)
    assert failed.value.sqlstate == sqlstate
    begin(meter, 4, limits, **others)
    # What was refused does not count.
    assert len(meter.under_way(NOON)) == 3


def test_who_ended_without_a_word_is_lost(meter: Meter) -> None:
    limits = Limits(1000, 1, 1000, 1000)
    begin(meter, 1, limits, estimate=0.5)
    assert [call["status"] for call in meter.under_way(NOON)] == ["running"] and meter.finished(NOON) == []
    begin(meter, 2, limits, NOON + 41)
    (lost,) = meter.finished(NOON + 41)
    assert (lost["status"], lost["cost_usd"], lost["cost_estimated"]) == ("lost", 0.5, True)


def test_a_budget_counts_what_may_come(meter: Meter) -> None:
    limits = Limits(1000, 1000, 1000, 1000, budget_usd=1.0)
    begin(meter, 1, limits, estimate=0.6)
    with pytest.raises(LimitError) as failed:
        begin(meter, 2, limits, estimate=0.6)
    assert failed.value.sqlstate == "LC505" and failed.value.retry_after is None and not failed.value.shared
    meter.finish("1", cost_usd=0.1, status="ok", sqlstate=None)
    begin(meter, 2, limits, estimate=0.6)
    # Nobody knows what became of it: what it may have cost counts.
    meter.finish("2", cost_usd=None, status="cancelled", sqlstate="57014")
    with pytest.raises(LimitError):
        begin(meter, 3, limits, estimate=0.4)
    begin(meter, 4, limits, estimate=0.6, organization="umbrella")
    # The ledger may know more than this file, and a month is over some time.
    with pytest.raises(LimitError):
        begin(meter, 5, Limits(1000, 1000, 1000, 1000, 1.0, spent_usd=0.99), estimate=0.02)
    begin(meter, 6, limits, NOON + 32 * 86400, estimate=0.9)
    for budget in (0.0, 0.7):
        with pytest.raises(LimitError):
            begin(meter, 7, Limits(1000, 1000, 1000, 1000, budget))


def test_a_budget_needs_a_price(meter: Meter) -> None:
    limits = Limits(1000, 1000, 1000, 1000, budget_usd=1.0)
    begin(meter, 1, limits)
    meter.finish("1", cost_usd=None, status="ok", sqlstate=None)
    with pytest.raises(LimitError) as failed:
        begin(meter, 2, limits)
    assert failed.value.sqlstate == "LC506"
    begin(meter, 3, limits, estimate=0.0)
    begin(meter, 4, FREE)
    meter.finish("4", cost_usd=0.001, status="ok", sqlstate=None)
    begin(meter, 5, limits)


def test_calls_stay_until_the_ledger_has_them(meter: Meter) -> None:
    begin(meter, 1, purpose="chat")
    begin(meter, 2)
    meter.finish("1", cost_usd=0.25, status="ok", sqlstate=None, tokens_in=3)
    (call,) = meter.finished(NOON)
    assert (call["call_id"], call["purpose"], call["cost_usd"], call["called_at"]) == ("1", "chat", 0.25, NOON)
    meter.forget(["1"], NOON)
    assert meter.finished(NOON) == [] and len(meter.under_way(NOON)) == 1
    meter.finish("no such call", cost_usd=1.0, status="ok", sqlstate=None)


def test_many_at_once_do_not_pass_a_limit(tmp_path: Path) -> None:
    """Each with a connection of its own, as processes have."""
    path, refused = tmp_path / "1.meter", []
    Meter(path)

    def ask(first: int) -> None:
        own = Meter(path)
        for number in range(first, first + 25):
            try:
                begin(own, number, Limits(1000, 1000, 1000, 1000, 1.0), estimate=0.05)
            except LimitError as error:
                refused.append(error.sqlstate)

    threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Meter(path).under_way(NOON)) == 20 and refused == ["LC505"] * 80


def test_a_meter_that_is_held_is_an_error_soon(meter: Meter, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "loci" / "1.meter", isolation_level=None)
    holder.execute("begin immediate")
    assert code(lambda: begin(meter, 1)) == "LC515"
    holder.execute("rollback")
    begin(meter, 1)
