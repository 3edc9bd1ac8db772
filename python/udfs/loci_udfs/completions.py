"""Completions: what somebody asks of a chat model, made into requests to the gateway, and their answers.

Model, parameters, limits, prices and keys are the database's choice: `Config` is loci_private.chat_config(). Callers
give messages, tools and a schema (`Request`). loci.complete(), the queue and whatever else asks a model all come
through `Completion`. Each request to the gateway is metered before it is made and when it has ended.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from loci_udfs.db import Db, DbError, entry
from loci_udfs.errors import LociError
from loci_udfs.extract_json import MISSING, extract, storable, storable_text
from loci_udfs.gateway import Client, Gateway, GatewayError, run
from loci_udfs.json_schema import WRAPPED, Schema
from loci_udfs.meter import LimitError, Limits, Meter, meter_of
from loci_udfs.redact import Pattern, load_patterns, redact

_LARGEST_ANSWER = 8 * 1024 * 1024
_MOST_MESSAGES = 10_000
_CALLS_AT_A_TIME = 1000
_MOST_TOOLS = 128
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PURPOSE = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# What a call may take on top of the gateway's timeout before it counts as lost.
_MARGIN_SECONDS = 10.0
# No token is shorter than a byte, and most are longer: for the estimate of a cost.
_BYTES_A_TOKEN = 3
# Nothing that another model would change.
_OF_THE_SET_UP = frozenset({"LC120", "LC121", "LC400", "LC408"})
# Nobody knows whether these were paid for: they count with what they may have cost.
_PERHAPS_PAID = frozenset({"LC403", "LC407", "LC511"})
# What others may say that a call of theirs ended with.
_FAILURE = re.compile(r"LC40[0-9]|LC511")
# No single call costs more; nor does one cost less than nothing.
_MOST_DOLLARS = 1000.0
# In schemas and tools: what is said, rather than what it is called.
_SAID = frozenset({"description", "title", "enum", "const", "default", "examples"})

_TOOL = "answer"
_BY_TEXT = "Answer with one JSON value that is valid under this JSON Schema, and with nothing else: no explanation, no fence.\n"
_REPAIR = "That answer cannot be used:\n{problems}\nGive the whole answer again, corrected."


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. schema: of the JSON value that is wanted, None for a text; then there are no tools."""

    messages: list[dict[str, Any]]
    purpose: str = "general"
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    schema: dict[str, Any] | None = None
    traceparent: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Config:
    """How it is asked. models: the first, and perhaps a second one to fall back on; prices: by model, USD for a token.

    now: seconds since 1970 when this was read. redaction: see load_patterns().
    """

    models: list[str]
    parameters: dict[str, Any]
    gateway: Gateway
    limits: Limits
    now: float
    organization_id: str | None = None
    user_id: str | None = None
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    redaction: tuple[Pattern, ...] = ()
    keep_texts: bool = False
    max_bytes: int = 1_000_000


@dataclass(slots=True)
class Reply:
    """One answer of a model. tool_calls: id, name, arguments (None where they are no JSON; then text has them)."""

    call_id: str = ""
    model: str | None = None
    content: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class NoAnswer(LociError):
    """The model answered with nothing, or its answer was withheld."""

    def __init__(self, reply: Reply) -> None:
        withheld = reply.finish_reason == "content_filter"
        super().__init__(
            "the model gave no answer",
            detail=f"It ended with finish_reason {reply.finish_reason or 'null'!s:.40}.",
            hint="The provider's content filter withheld it."
            if withheld
            else "The setting chat_max_tokens may be too low.",
            sqlstate="LC511",
        )
        self.withheld = withheld


# --- what callers give --------------------------------------------------------------------------------------------


def read_request(given: Mapping[str, Any]) -> Request:
    """given: messages, and perhaps the other fields of Request. Raises LC501, LC502, LC516 or LC517."""
    given = {name: value for name, value in given.items() if value is not None}
    purpose = given.get("purpose", "general")
    if not isinstance(purpose, str) or not _PURPOSE.fullmatch(purpose):
        raise LociError(
            "not a purpose",
            hint="A few words of a-z, digits, spaces and _.:/-, up to 100 characters.",
            sqlstate="LC516",
        )
    traceparent = given.get("traceparent")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        raise LociError(
            "not a traceparent",
            hint="It is the header of W3C Trace Context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>.",
            sqlstate="LC517",
        )
    _check_messages(given.get("messages"))
    _check_tools(given.get("tools"), given.get("tool_choice"))
    return Request(**given)


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _wrong_messages("They are no list, or an empty one.")
    if len(messages) > _MOST_MESSAGES:
        raise _wrong_messages(f"There are more than {_MOST_MESSAGES}.")
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict):
            raise _wrong_messages(f"Message {number} is no object.")
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise _wrong_messages(f"Message {number} has no role; roles are {', '.join(sorted(_ROLES))}.")
        if not _FIELDS.issuperset(message):
            raise _wrong_messages(f"Message {number} has other fields than {', '.join(sorted(_FIELDS))}.")
        content = message.get("content")
        if isinstance(content, list):
            if not all(
                isinstance(part, dict)
                and part.keys() == {"type", "text"}
                and part["type"] == "text"
                and isinstance(part["text"], str)
                for part in content
            ):
                raise _wrong_messages(f"The content of message {number} has parts that are not text.")
        elif content is None:
            if role != "assistant" or not message.get("tool_calls"):
                raise _wrong_messages(f"Message {number} has no content.")
        elif not isinstance(content, str):
            raise _wrong_messages(f"The content of message {number} is no text.")
        if "name" in message and not _is_name(message["name"]):
            raise _wrong_messages(f"The name in message {number} is not of the form a-z, digits, _ and -.")
        if (role == "tool") != isinstance(message.get("tool_call_id"), str):
            raise _wrong_messages(f"Message {number}: the role tool, and no other, has a tool_call_id.")
        calls = message.get("tool_calls")
        if calls is not None and (role != "assistant" or not isinstance(calls, list) or not all(map(_is_call, calls))):
            raise _wrong_messages(f"Message {number} has tool_calls that are none, or are not an assistant's.")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and call.keys() == {"id", "type", "function"}
        and isinstance(call["id"], str)
        and call["type"] == "function"
        and isinstance(call["function"], dict)
        and call["function"].keys() == {"name", "arguments"}
        and _is_name(call["function"]["name"])
        and isinstance(call["function"]["arguments"], str)
    )


def _wrong_messages(detail: str) -> LociError:
    return LociError(
        "these are no messages",
        detail=detail,
        hint='Pass a list such as [{"role": "user", "content": "Hello"}].',
        sqlstate="LC501",
    )


def _check_tools(tools: Any, choice: Any) -> None:
    if tools is None:
        if choice is not None:
            raise _wrong_tools("There is a tool_choice, but no tools.")
        return
    if not isinstance(tools, list) or not 1 <= len(tools) <= _MOST_TOOLS:
        raise _wrong_tools(f"They are no list of 1 to {_MOST_TOOLS}.")
    names = set()
    for number, tool in enumerate(tools, 1):
        function = tool.get("function") if isinstance(tool, dict) and tool.keys() == {"type", "function"} else None
        if (
            not isinstance(function, dict)
            or tool["type"] != "function"
            or not {"name", "description", "parameters"}.issuperset(function)
            or not _is_name(function.get("name"))
            or not isinstance(function.get("description", ""), str)
            or not isinstance(function.get("parameters", {}), dict)
        ):
            raise _wrong_tools(f"Tool {number} is no function with name, description and parameters.")
        names.add(function["name"])
    if len(names) < len(tools):
        raise _wrong_tools("Two of them have the same name.")
    if choice is None or choice in ("auto", "none", "required"):
        return
    if not any(choice == {"type": "function", "function": {"name": name}} for name in names):
        raise _wrong_tools('tool_choice is none of "auto", "none", "required" or one of the functions.')


def _wrong_tools(detail: str) -> LociError:
    return LociError(
        "these are no tools",
        detail=detail,
        hint='Pass a list such as [{"type": "function", "function": {"name": "...", "parameters": {...}}}].',
        sqlstate="LC502",
    )


# --- what the database decides ------------------------------------------------------------------------------------


def read_config(given: Mapping[str, Any]) -> Config:
    """given: loci_private.chat_config(). Raises LC500 where no model is set."""
    if not given["models"]:
        raise LociError(
            "no chat model is set",
            hint="As loci_admin: update loci.settings set value = '...' where name = 'chat_model'; or set chat_model of the organization.",
            sqlstate="LC500",
        )
    return Config(
        **{
            **given,
            "gateway": Gateway(**given["gateway"]),
            "limits": Limits(**given["limits"]),
            "prices": {model: (price[0] / 1e6, price[1] / 1e6) for model, price in given["prices"].items()},
            "redaction": tuple(load_patterns(json.dumps(given["redaction"]))),
        }
    )


# --- what goes to the model ---------------------------------------------------------------------------------------


def redact_messages(messages: list[dict[str, Any]], hide: Callable[[str], str]) -> list[dict[str, Any]]:
    """The same messages with every text in them hidden as far as it has to be."""
    shown = []
    for message in messages:
        message = dict(message)
        content = message.get("content")
        if isinstance(content, str):
            message["content"] = hide(content)
        elif content is not None:
            message["content"] = [{**part, "text": hide(part["text"])} for part in content]
        if message.get("tool_calls"):
            message["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": _hide_json(call["function"]["arguments"], hide)}}
                for call in message["tool_calls"]
            ]
        shown.append(message)
    return shown


def _hide_json(text: str, hide: Callable[[str], str]) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return hide(text)
    return json.dumps(_hidden(value, hide), ensure_ascii=False)


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_hidden(item, hide) for item in value]
    if isinstance(value, dict):
        return {hide(key): _hidden(item, hide) for key, item in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A number of a card is one without its quotes, too.
        said = hide(json.dumps(value))
        return value if said == json.dumps(value) else said
    return value


def redact_schema(schema: Any, hide: Callable[[str], str]) -> Any:
    """A schema, or tools, with what is said in them hidden; names and structure stay."""
    if isinstance(schema, list):
        return [redact_schema(item, hide) for item in schema]
    if isinstance(schema, dict):
        return {
            key: _hidden(item, hide) if key in _SAID and not isinstance(item, dict) else redact_schema(item, hide)
            for key, item in schema.items()
        }
    return schema


# --- what comes back ----------------------------------------------------------------------------------------------


def read_reply(body: Mapping[str, Any]) -> Reply:
    """The first choice of an answer; content and calls are missing where it has none. Raises LC407 for no answer at all."""
    reply = Reply(model=_text(body.get("model")))
    usage = body.get("usage")
    if isinstance(usage, dict):
        reply.tokens_in, reply.tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise GatewayError(
            "outage", "the gateway's answer cannot be used", detail="There is no message in it.", sqlstate="LC407"
        )
    reply.finish_reason = _text(choice.get("finish_reason"))
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if isinstance(part, dict) and _text(part.get("text")))
    reply.content = storable_text(content) if isinstance(content, str) else None
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and _text(function.get("name")):
            reply.tool_calls.append(_read_call(call, function))
    return reply


def _read_call(call: Mapping[str, Any], function: Mapping[str, Any]) -> dict[str, Any]:
    given = function.get("arguments")
    text = given if isinstance(given, str) else "{}" if given is None else json.dumps(given)
    arguments = extract(text, lambda value: isinstance(value, dict)) if text.strip() else {}
    found = {"id": _text(call.get("id")) or str(uuid.uuid4()), "name": _text(function["name"])}
    if arguments is MISSING:
        return {**found, "arguments": None, "text": storable_text(text)}
    return {**found, "arguments": arguments}


def _text(value: Any) -> str | None:
    return storable_text(value) if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000_000 else None


# --- a completion -------------------------------------------------------------------------------------------------


class Completion:
    """One request on its way to its answer. texts: what was sent and answered, see keep().

    matches: see Schema.
    """

    def __init__(
        self,
        request: Request,
        config: Config,
        meter: Meter,
        checkpoint: Callable[[], None] = lambda: None,
        matches: Callable[[str, str], bool] | None = None,
    ) -> None:
        """Raises LC512 for a schema that cannot be used, LC518 for a request that is too large."""
        self._request = request
        self.config = config
        self._meter = meter
        self._checkpoint = checkpoint
        self._schema: Schema | None = None
        if request.schema is not None:
            given = {"matches": matches} if matches else {}
            self._schema = Schema(request.schema, checkpoint=checkpoint, **given)
        size = len(
            json.dumps([request.messages, request.tools, request.schema], ensure_ascii=False).encode(errors="replace")
        )
        if size > config.max_bytes:
            raise LociError(
                "the request is too large",
                detail=f"It has {size} bytes.",
                hint=f"The setting chat_max_bytes allows {config.max_bytes}.",
                sqlstate="LC518",
            )
        self._messages = redact_messages(request.messages, self._hide)
        self._began = time.monotonic()
        self._calls: list[Reply] = []
        self._cost = 0.0
        self.texts: list[dict[str, Any]] = []

    def instead(self, request: Request, max_tokens: int) -> Completion:
        """Something else, asked in the same way."""
        parameters = {**self.config.parameters, "max_tokens": max_tokens}
        config = replace(self.config, parameters=parameters, now=self._now())
        return Completion(request, config, self._meter, self._checkpoint)

    async def main(self) -> dict[str, Any]:
        """The result. Raises LimitError (LC505 to LC510), GatewayError, LC511 or LC513."""
        errors: list[tuple[str, LociError]] = []
        async with Client(self.config.gateway, largest_answer=_LARGEST_ANSWER) as client:
            for number, model in enumerate(self.config.models):
                try:
                    if self._schema is None:
                        return self._result(await self._plain(client, model, number > 0), number > 0)
                    return await self._json(client, model, number > 0, self._schema)
                except LociError as error:
                    errors.append((model, error))
                    if not _worth_another_model(error):
                        break
        raise _all(errors)

    # --- a text or calls of tools ---

    async def _plain(self, client: Client, model: str, fallback: bool) -> Reply:
        return await self._call(client, model, fallback, self._messages, self._extra())

    def _extra(self) -> dict[str, Any]:
        request, extra = self._request, dict[str, Any]()
        if request.tools:
            extra["tools"] = redact_schema(request.tools, self._hide)
            if request.tool_choice is not None:
                extra["tool_choice"] = request.tool_choice
        return extra

    # --- a JSON value ---

    async def _json(self, client: Client, model: str, fallback: bool, schema: Schema) -> dict[str, Any]:
        """As arguments of a tool; where the gateway rejects that, by response_format; where it rejects that, by asking."""
        shown = redact_schema(schema.parameters, self._hide)
        ways = [self._as_tool(shown), self._as_format(shown), self._as_text(redact_schema(schema.schema, self._hide))]
        messages, repaired = self._messages, False
        while True:
            instruction, extra = ways[0]
            try:
                reply = await self._call(client, model, fallback, [*instruction, *messages], extra)
            except GatewayError as error:
                if error.kind != "rejected" or len(ways) == 1:
                    raise
                del ways[0]
                continue
            said, value = self._value_of(reply, schema)
            problems = self._problems(reply, value, schema)
            if not problems:
                return {**self._result(reply, fallback), "value": value}
            if repaired:
                raise LociError(
                    "the model's answer does not fit the schema",
                    detail=f"After one repair: {'; '.join(problem for problem, _ in problems)}.",
                    hint="A simpler schema, an example in the messages, or more chat_max_tokens may help.",
                    sqlstate="LC513",
                )
            if len(ways) == 3 and not reply.tool_calls:
                # It does not care for tools.
                del ways[0]
            told = "\n".join(f"- {problem}" for _, problem in problems)
            messages = [
                *self._messages,
                {"role": "assistant", "content": said or "(nothing)"},
                {"role": "user", "content": _REPAIR.format(problems=told)},
            ]
            repaired = True

    def _as_tool(self, schema: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        function = {"name": _TOOL, "description": "Give the answer.", "parameters": schema}
        choice = {"type": "function", "function": {"name": _TOOL}}
        return [], {"tools": [{"type": "function", "function": function}], "tool_choice": choice}

    def _as_format(self, schema: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        return [], {"response_format": {"type": "json_schema", "json_schema": {"name": _TOOL, "schema": schema}}}

    def _as_text(self, schema: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        return [{"role": "system", "content": _BY_TEXT + json.dumps(schema, ensure_ascii=False)}], {}

    def _value_of(self, reply: Reply, schema: Schema) -> tuple[str, Any]:
        """What was said, and the value in it; MISSING without one."""
        for call in reply.tool_calls:
            arguments = call["arguments"]
            if arguments is None:
                continue
            value = arguments.get(WRAPPED, arguments) if schema.wraps else arguments
            return json.dumps(arguments, ensure_ascii=False), value
        text = reply.content or next((call["text"] for call in reply.tool_calls), "")
        for fits in (
            schema.fits,
            lambda value: schema.wraps and _is_wrapped(value) and schema.fits(value[WRAPPED]),
            None,
        ):
            value = extract(text, fits, self._checkpoint)
            if value is not MISSING:
                return text, value[WRAPPED] if schema.wraps and _is_wrapped(value) and not schema.fits(value) else value
        return text, MISSING

    def _problems(self, reply: Reply, value: Any, schema: Schema) -> list[tuple[str, str]]:
        if reply.finish_reason == "length":
            return [("it was cut off at chat_max_tokens", "It is too long and was cut off. Be shorter.")]
        if value is MISSING:
            return [("there is no JSON in it", "There is no JSON in it.")]
        return schema.problems(value)

    # --- one call ---

    async def _call(
        self, client: Client, model: str, fallback: bool, messages: list[dict[str, Any]], extra: Mapping[str, Any]
    ) -> Reply:
        body = self._body(model, messages, extra)
        started = time.monotonic()
        call_id = self._enter(model, len(json.dumps(body)), fallback)
        self.texts.append({"call_id": call_id, "called_at": self._now(), "messages": messages})
        ended: dict[str, Any] = {"status": "cancelled", "sqlstate": "57014", "cost_usd": None}
        text = self.texts[-1]
        try:
            private = [said for message in messages for said in _texts(message)]
            answer = await client.chat(body, traceparent=self._request.traceparent, private=private)
            cost = answer.cost_usd
            ended = {"status": "error", "sqlstate": "LC407", "cost_usd": cost}
            reply = read_reply(answer.body)
            if cost is None and reply.tokens_in is not None and reply.tokens_out is not None:
                cost = _price(self.config, model, reply.tokens_in, reply.tokens_out)
            ended = {"cost_usd": cost, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out}
            text["answer"] = {"content": reply.content, "tool_calls": reply.tool_calls}
            if not reply.tool_calls and not (reply.content or "").strip():
                ended |= {"status": "error", "sqlstate": "LC511"}
                raise NoAnswer(reply)
            ended |= {"status": "ok", "sqlstate": None}
        except LociError as error:
            if "status" not in ended or ended["status"] == "cancelled":
                ended = {
                    "status": "error",
                    "sqlstate": error.sqlstate,
                    "cost_usd": _cost_of_failure(error.sqlstate),
                }
            raise
        finally:
            self._meter.finish(call_id, latency_ms=round((time.monotonic() - started) * 1000), **ended)
        reply.call_id = call_id
        self._calls.append(reply)
        self._cost += ended["cost_usd"] or 0.0
        return reply

    def _body(self, model: str, messages: list[dict[str, Any]], extra: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": model, "messages": messages, **self.config.parameters, **extra}

    def _enter(self, model: str, size: int, fallback: bool, waits: float | None = None) -> str:
        """Meter a call that is about to be made, with a body of so many bytes; its id."""
        config, request, call_id = self.config, self._request, str(uuid.uuid4())
        self._meter.begin(
            {
                "call_id": call_id,
                "request_id": request.request_id,
                "organization_id": config.organization_id,
                "user_id": config.user_id,
                "purpose": request.purpose,
                "gateway": config.gateway.gateway,
                "model": model,
                "fallback": fallback,
                "trace_id": request.traceparent.split("-")[1] if request.traceparent else None,
            },
            config.limits,
            now=self._now(),
            seconds=config.gateway.timeout_seconds + _MARGIN_SECONDS,
            estimate=_price(config, model, size // _BYTES_A_TOKEN, config.parameters["max_tokens"]),
            waits=waits,
        )
        return call_id

    def hand_over(self, waits: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """A request that somebody else sends: what is known of its call, and what to send. See again() and settle().

        waits: seconds until the call counts as lost, see Meter.begin(). Raises LimitError.
        """
        body, request = self._body(self.config.models[0], self._messages, self._extra()), self._request
        call: dict[str, Any] = {"model": body["model"], "bytes": len(json.dumps(body)), "fallback": False}
        call |= {"purpose": request.purpose, "traceparent": request.traceparent, "request_id": request.request_id}
        call["call_id"] = self._enter(call["model"], call["bytes"], False, waits)
        self.texts.append({"call_id": call["call_id"], "called_at": self._now(), "messages": body["messages"]})
        return call, body

    def again(self, call: Mapping[str, Any], waits: float) -> dict[str, Any] | None:
        """The call that follows one that failed: the same request to the fallback model; None where there is none."""
        if call["fallback"] or len(self.config.models) < 2:
            return None
        model = self.config.models[1]
        return {**call, "model": model, "fallback": True, "call_id": self._enter(model, call["bytes"], True, waits)}

    def _now(self) -> float:
        return self.config.now + time.monotonic() - self._began

    def _hide(self, text: str) -> str:
        return redact(text, self.config.redaction, self._checkpoint)[0] if self.config.redaction else text

    def _result(self, reply: Reply, fallback: bool) -> dict[str, Any]:
        return {
            "status": "ok",
            "request_id": self._request.request_id,
            "call_id": reply.call_id,
            "model": reply.model or self.config.models[fallback],
            "fallback": fallback,
            "content": reply.content,
            "tool_calls": reply.tool_calls,
            "finish_reason": reply.finish_reason,
            "usage": {
                "calls": len(self._calls),
                "tokens_in": sum(call.tokens_in or 0 for call in self._calls),
                "tokens_out": sum(call.tokens_out or 0 for call in self._calls),
                "cost_usd": self._cost,
            },
        }


def _price(config: Config, model: str, tokens_in: int, tokens_out: int) -> float | None:
    price = config.prices.get(model)
    return None if price is None else tokens_in * price[0] + tokens_out * price[1]


def _cost_of_failure(sqlstate: str) -> float | None:
    return None if sqlstate in _PERHAPS_PAID else 0.0


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {WRAPPED}


def _texts(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    texts = [content] if isinstance(content, str) else [part["text"] for part in content or ()]
    return texts + [call["function"]["arguments"] for call in message.get("tool_calls") or ()]


def _worth_another_model(error: LociError) -> bool:
    if isinstance(error, GatewayError):
        return error.sqlstate not in _OF_THE_SET_UP
    return isinstance(error, NoAnswer) and not error.withheld


def _all(errors: list[tuple[str, LociError]]) -> LociError:
    """One error for what two models said: one that will pass, if there is any, else the last."""
    model, error = next((pair for pair in errors if _will_pass(pair[1])), errors[-1])
    for other, also in errors:
        if also is not error:
            said = f'The model "{other}" failed too: {also.message} ({also.sqlstate}). {also.detail or ""}'
            error.detail = " ".join(filter(None, (error.detail, said))).strip()
    if len(errors) > 1:
        error.message = f'{error.message} (model "{model}")'
    return error


def _will_pass(error: LociError) -> bool:
    return isinstance(error, GatewayError) and error.kind in ("overloaded", "outage")


# --- entries ------------------------------------------------------------------------------------------------------


def error_as_json(error: LociError | DbError, **more: Any) -> dict[str, Any]:
    said = {"sqlstate": error.sqlstate, "message": error.message, "detail": error.detail, "hint": error.hint}
    return {name: storable_text(text) if text else text for name, text in said.items()} | more


def server_regex(db: Db) -> Callable[[str, str], bool]:
    """Regular expressions of the server: they cannot run away, and a cancel ends them."""

    def matches(pattern: str, text: str) -> bool:
        try:
            return bool(db.query("select $1 ~ $2 as found", ("text", text), ("text", pattern))[0]["found"])
        except DbError as error:
            raise LociError(
                "the schema cannot be used",
                detail=f"A pattern in it is no regular expression of PostgreSQL: {error.message}.",
                sqlstate="LC512",
            ) from None

    return matches


def keep_texts(db: Db, config: Config, texts: list[dict[str, Any]]) -> None:
    if config.keep_texts and texts:
        db.query(
            "select loci_private.keep_texts($1, $2, $3)",
            ("uuid", config.organization_id),
            ("uuid", config.user_id),
            ("jsonb", json.dumps([storable(text) for text in texts])),
        )


@entry
def run_chat(db: Db, config: str, request: str) -> str:
    """The result of Completion as JSON text, or its error, which SQL raises: so that no user sees a Python traceback.

    refused: nothing was asked, because of what the caller gave or how things are set up.
    """
    result: dict[str, Any]
    try:
        settings = read_config(json.loads(config))
        completion = Completion(
            read_request(json.loads(request)), settings, meter_of(db), db.checkpoint, server_regex(db)
        )
    except LociError as error:
        return json.dumps({"status": "error", "error": error_as_json(error), "refused": True})
    try:
        result = run(completion.main, db.checkpoint)
    except LociError as error:
        result = {"status": "error", "error": error_as_json(error)}
        if isinstance(error, LimitError | GatewayError):
            result["error"]["retry_after"] = error.retry_after
    keep_texts(db, settings, completion.texts)
    return json.dumps(result)


@entry
def hand_over(db: Db, config: str, request: str, waits: float) -> str:
    """Completion.hand_over() as JSON text: call and request, or error."""
    try:
        settings = read_config(json.loads(config))
        completion = Completion(read_request(json.loads(request)), settings, meter_of(db), db.checkpoint)
        call, body = completion.hand_over(waits)
    except LociError as error:
        return json.dumps({"error": error_as_json(error)})
    keep_texts(db, settings, completion.texts)
    return json.dumps({"call": call, "request": body})


@entry
def hand_over_again(db: Db, config: str, call: str, waits: float) -> str:
    """Completion.again() as JSON text: call (null: there is no fallback), or error."""
    given = json.loads(call)
    request = Request([], given["purpose"], traceparent=given["traceparent"], request_id=given["request_id"])
    try:
        completion = Completion(request, read_config(json.loads(config)), meter_of(db), db.checkpoint)
        return json.dumps({"call": completion.again(given, waits)})
    except LociError as error:
        return json.dumps({"error": error_as_json(error)})


@entry
def settle(db: Db, config: str, call: str, outcome: str) -> str | None:
    """A call that was handed over has ended. outcome: status (complete, cancelled, failed), usage, content, seconds.

    usage: what its maker says: prompt_tokens, completion_tokens, cost_usd, latency_ms, sqlstate of the failure. What makes
    no sense there counts as not said. Returns an error as JSON text: what was answered is worth more than its price.
    """
    settings, made, given = json.loads(config), json.loads(call), json.loads(outcome)
    usage, price = given["usage"], settings["prices"].get(made["model"])
    ended: dict[str, Any] = {"status": "ok", "sqlstate": None, "cost_usd": _dollars(usage.get("cost_usd"))}
    ended |= {"tokens_in": _count(usage.get("prompt_tokens")), "tokens_out": _count(usage.get("completion_tokens"))}
    if price and ended["cost_usd"] is None and ended["tokens_in"] is not None and ended["tokens_out"] is not None:
        ended["cost_usd"] = (ended["tokens_in"] * price[0] + ended["tokens_out"] * price[1]) / 1e6
    if given["status"] == "cancelled":
        ended |= {"status": "cancelled", "sqlstate": "57014"}
    elif given["status"] == "failed":
        said = usage.get("sqlstate")
        sqlstate = said if isinstance(said, str) and _FAILURE.fullmatch(said) else "LC407"
        ended |= {"status": "error", "sqlstate": sqlstate}
        if ended["cost_usd"] is None:
            ended["cost_usd"] = _cost_of_failure(sqlstate)
    latency = _count(usage.get("latency_ms"))
    latency = round(given["seconds"] * 1000) if latency is None else latency
    if settings["keep_texts"] and given["content"] is not None:
        db.query(
            "update loci_private.call_texts set answer = $2 where call_id = $1 returning call_id",
            ("uuid", made["call_id"]),
            ("jsonb", json.dumps({"content": given["content"]})),
        )
    try:
        meter_of(db).finish(made["call_id"], latency_ms=latency, **ended)
    except LociError as error:
        return json.dumps(error_as_json(error))
    return None


def _dollars(value: Any) -> float | None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return float(number) if number is not None and 0 <= number <= _MOST_DOLLARS else None


@entry
def check_request(db: Db, request: str) -> str | None:
    """What is wrong with a request, as far as it can be seen before it is made; an error as JSON text."""
    try:
        asked = read_request(json.loads(request))
        if asked.schema is not None:
            Schema(asked.schema, server_regex(db), db.checkpoint)
    except LociError as error:
        return json.dumps(error_as_json(error))
    return None


@entry
def extract_json(db: Db, text: str | None, schema: str | None) -> str:
    """{"value": the JSON value in a text}, {} where there is none that fits the schema, or {"error": ...}, as JSON text."""
    try:
        fits = None if schema is None else Schema(json.loads(schema), server_regex(db), db.checkpoint).fits
        value = MISSING if text is None else extract(text, fits, db.checkpoint)
    except LociError as error:
        return json.dumps({"error": error_as_json(error)})
    return json.dumps({} if value is MISSING else {"value": value})


@entry
def meter_requests(db: Db, gateway: str, wanted: int, most: int, now: float) -> int:
    """How many requests for embeddings may be made. Work goes on where they cannot be counted: the gateway counts too."""
    try:
        return meter_of(db).take(gateway, wanted, most, now)
    except LociError:
        return wanted


@entry
def metered_calls(db: Db, now: float) -> list[str]:
    """Calls that are not in the ledger yet, as JSON texts: those under way have status running."""
    meter = meter_of(db)
    return [json.dumps(call) for call in meter.finished(now) + meter.under_way(now)]


@entry
def meter_forget(db: Db, user_id: str) -> int:
    """How many calls had this user's id. Raises LC515."""
    return meter_of(db).forget_user(user_id)


def write_ledger(db: Db) -> None:
    """Move finished calls from the meter to the ledger. For a session that may commit; nothing is lost where it ends.

    Raises LC515.
    """
    now = float(db.query("select loci_private.epoch() as now")[0]["now"])
    meter = meter_of(db)
    while calls := meter.finished(now)[:_CALLS_AT_A_TIME]:
        (row,) = db.query("select loci_private.write_calls($1) as written", ("jsonb", json.dumps(calls)))
        db.commit()
        if row["written"] is None:
            return
        meter.forget([call["call_id"] for call in calls], now)
