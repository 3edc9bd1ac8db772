"""One turn: what begin_turn() built goes to the gateway, and whatever comes back is stored, however it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any
from uuid import UUID

import openai
from psycopg.types.json import Jsonb

from loci_shim.database import Database, Statement
from loci_shim.logs import Trace, log
from loci_shim.problems import Problem, problem_of
from loci_shim.settings import Settings

Event = tuple[str, dict[str, Any]]
_AHEAD = 64  # pieces that may wait for a slow reader


class Turn:
    """begun: conversation_id, user_id, turn_id, request. No transaction is open while it streams."""

    def __init__(
        self, settings: Settings, database: Database, gateway: openai.AsyncOpenAI, trace: Trace, token: str,
        begun: dict[str, Any],
    ) -> None:  # fmt: skip
        self._settings, self._gateway, self._trace = settings, gateway, trace
        self.conversation: UUID = begun["conversation_id"]
        self.id: UUID = begun["turn_id"]
        self._end = partial(database.end, token, begun["user_id"])
        self._request = {**begun["request"], "stream": True, "stream_options": {"include_usage": True}}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)
        self._size, self._pieces = 0, list[str]()
        self._calls, self._open_calls = list[dict[str, Any]](), dict[Any, dict[str, Any]]()
        self._usage: dict[str, Any] = {}
        self._began = time.monotonic()
        self.finish_reason: str | None = None
        self.problem: Problem | None = None
        self._asking = asyncio.create_task(self._ask())

    @property
    def model(self) -> str:
        return str(self._request["model"])

    @property
    def text(self) -> str:
        return _storable("".join(self._pieces))

    async def next(self, seconds: float | None) -> list[Event | None]:
        """What the client is told next, all that is there; None ends it. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            events = [await self._events.get()]
        while not self._events.empty():
            events.append(self._events.get_nowait())
        for event in events:
            if event and event[0] == "message":
                self._room.release()
        return events

    def stop(self) -> None:
        """Nobody listens any more. What has come is stored."""
        self._asking.cancel()

    async def run(self) -> None:
        """To be run as a task that is not cancelled."""
        status = "complete"
        done, _ = await asyncio.wait({self._asking}, timeout=self._settings.shim_turn_seconds)
        if not done:
            # Who did not keep up: the reader, or the model?
            status = "cancelled" if self._room.locked() else "failed"
            self.problem = Problem("57014" if status == "cancelled" else "LC403", status=504)
            self.stop()
            await asyncio.wait({self._asking})
        elif self._asking.cancelled():
            status = "cancelled"
        elif error := self._asking.exception():
            status, self.problem = "failed", problem_of(error)
            log("gateway", self._trace, level=logging.WARNING, code=self.problem.code, fault=type(error).__name__)
        if self.problem:
            self._usage["sqlstate"] = self.problem.code
            self._tell("error", self.problem.body())
        self._usage["latency_ms"] = self._milliseconds()
        try:
            stored = await self._store(status)
        except Exception as error:
            status, self.problem, stored = "failed", problem_of(error), {"message_id": None, "confidence": None}
            log("not stored", self._trace, level=logging.ERROR, code=self.problem.code, fault=type(error).__name__)
            self._tell("error", self.problem.body())
        for kind in ("citation", "proposal"):
            for each in stored.get(f"{kind}s", ()):
                self._tell(kind, each)
        names = ("prompt_tokens", "completion_tokens", "cost_usd", "latency_ms")
        self._tell("usage", {"model": self.model, **{name: self._usage.get(name) for name in names}})
        about = {name: stored[name] for name in ("message_id", "confidence")}
        self._tell("done", {"turn_id": str(self.id), "status": status, **about})
        self._events.put_nowait(None)
        log("turn", self._trace, status=status, model=self.model, **self._usage)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        self._events.put_nowait((name, data))

    def _milliseconds(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    async def _ask(self) -> None:
        """Ask the model; the other one, once, where the first fails before it has said anything."""
        while True:
            try:
                return await self._stream()
            except (openai.OpenAIError, Problem) as error:
                if self._pieces or self._calls:
                    raise
                failed = Jsonb({"sqlstate": problem_of(error).code, "latency_ms": self._milliseconds()})
                retry = "select loci.retry_turn(%s, %s) as model", (self.id, failed)
                model = (await self._end(retry))["model"]
                if model is None:
                    raise
                self._request["model"] = model

    async def _stream(self) -> None:
        stream = await self._gateway.post(
            "/chat/completions", cast_to=object, body=self._request, stream=True, stream_cls=openai.AsyncStream[object],
            options={"headers": self._trace.outgoing},
        )  # fmt: skip
        async with stream:
            try:
                self._cost(stream.response.headers.get("x-litellm-response-cost"))
                async for chunk in stream:
                    await self._take(chunk)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # Chunks of a shape that OpenAI's have not.
                raise Problem("LC407") from error
        if self.finish_reason is None:
            # It ended, and did not say so.
            raise Problem("LC402")
        if not self.text.strip() and not self._calls:
            raise Problem("LC511")

    async def _take(self, chunk: Any) -> None:
        if usage := chunk.get("usage"):
            counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
            self._usage |= {name: count for name, count in counts.items() if isinstance(count, int)}
            self._cost(usage.get("cost"))
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            if reason := choice.get("finish_reason"):
                self.finish_reason = str(reason)
            for call in delta.get("tool_calls") or ():
                self._collect(**call)
            if piece := delta.get("content"):
                self._count(piece)
                await self._room.acquire()
                self._pieces.append(piece)
                self._tell("message", {"content": piece})

    def _collect(self, index: Any = 0, id: str | None = None, function: Any = None, **_: Any) -> None:
        """A piece of a tool call: of the one at that index, or of a new one where another id says so."""
        call = self._open_calls.get(index)
        if call is None or (id and call["id"] and id != call["id"]):
            call = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            self._open_calls[index] = call
            self._calls.append(call)
        call["id"] = _storable(id) if id else call["id"]
        for name in ("name", "arguments"):
            if piece := (function or {}).get(name):
                self._count(piece)
                call["function"][name] += piece

    def _count(self, piece: Any) -> None:
        if not isinstance(piece, str):
            raise TypeError
        self._size += len(piece)
        if self._size > self._settings.shim_max_reply_chars:
            raise Problem("LC407")

    def _cost(self, said: Any) -> None:
        """A stream's header is sent before anybody knows the cost: 0 says nothing."""
        if said is not None and 0 < float(said) < 1e6:
            self._usage["cost_usd"] = float(said)

    async def _store(self, status: str) -> dict[str, Any]:
        """finish_turn(), again until the database is there; said twice, it changes nothing."""
        for call in self._calls:
            call["function"] = {name: _storable(text) for name, text in call["function"].items()}
        finish: Statement = (
            "select * from loci.finish_turn(%s, %s, %s, %s, tool_calls => %s)",
            (self.id, self.text, Jsonb(self._usage), status, Jsonb(self._calls)),
        )
        until, pause = time.monotonic() + self._settings.shim_database_seconds, 0.1
        while True:
            try:
                return await self._end(finish)
            except Exception as error:
                if not problem_of(error).passing or time.monotonic() + pause > until:
                    raise
                log("database", self._trace, level=logging.WARNING, code=problem_of(error).code)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 5)


def _storable(text: str) -> str:
    """A character may arrive as two halves; a half alone, and NUL, is nothing that PostgreSQL stores."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
