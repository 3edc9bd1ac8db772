"""One turn: what begin_turn() built goes to the gateway, and whatever comes back is stored, however it ends."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import openai
from openai.types.chat import ChatCompletionChunk
from psycopg.types.json import Jsonb

from loci_shim.database import Database
from loci_shim.logs import Trace, log
from loci_shim.problems import Problem, problem_of
from loci_shim.settings import Settings

Event = tuple[str, dict[str, Any]]
_AHEAD = 64  # pieces that may wait for a slow reader


class Turn:
    """events: what the client is told, ending with None; `done` is the last. No transaction is open while it streams."""

    def __init__(
        self, settings: Settings, database: Database, gateway: openai.AsyncOpenAI, trace: Trace, token: str, user: UUID,
        turn_id: UUID, request: dict[str, Any],
    ) -> None:  # fmt: skip
        self._settings, self._database, self._gateway = settings, database, gateway
        self._trace, self._token, self._user = trace, token, user
        self.turn_id, self.model = turn_id, str(request.get("model"))
        self._request = {**request, "stream": True, "stream_options": {"include_usage": True}}
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)
        self._text: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._began = time.monotonic()
        self.finish_reason: str | None = None
        self.problem: Problem | None = None
        self._asking = asyncio.create_task(self._ask())

    @property
    def text(self) -> str:
        # A character may arrive as two halves; a half alone, and NUL, is nothing that PostgreSQL stores.
        whole = "".join(self._text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "")

    async def next(self, seconds: float) -> Event | None:
        """Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            event = await self.events.get()
        if event and event[0] == "message":
            self._room.release()
        return event

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
            log("gateway", self._trace, level="warning", code=self.problem.code, fault=type(error).__name__)
        if self.problem:
            self._usage["sqlstate"] = self.problem.code
            self._tell("error", self.problem.body())
        self._usage["latency_ms"] = round((time.monotonic() - self._began) * 1000)
        try:
            self._tell_outcome(status, await self._store(status))
        except Exception as error:
            self.problem = problem_of(error)
            log("not stored", self._trace, level="error", code=self.problem.code)
            self._tell("error", self.problem.body())
            self._tell(
                "done", {"turn_id": str(self.turn_id), "status": "failed", "message_id": None, "confidence": None}
            )
        self.events.put_nowait(None)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        self.events.put_nowait((name, data))

    def _tell_outcome(self, status: str, stored: dict[str, Any]) -> None:
        for citation in stored["citations"]:
            self._tell("citation", citation)
        for proposal in stored["proposals"]:
            self._tell("proposal", proposal)
        names = ("prompt_tokens", "completion_tokens", "cost_usd", "latency_ms")
        self._tell("usage", {"model": self.model, **{name: self._usage.get(name) for name in names}})
        about = {name: stored[name] for name in ("message_id", "confidence")}
        self._tell("done", {"turn_id": str(self.turn_id), "status": status, **about})
        log("turn", self._trace, status=status, model=self.model, **self._usage)

    async def _ask(self) -> None:
        """Ask the model; the other one, once, where the first fails before it has said anything."""
        while True:
            try:
                return await self._stream()
            except (openai.OpenAIError, Problem) as error:
                if self._text or self._calls:
                    raise
                failed = {
                    "sqlstate": problem_of(error).code,
                    "latency_ms": round((time.monotonic() - self._began) * 1000),
                }
                sql = "select loci.retry_turn(%s, %s) as model"
                _, row = await self._database.run(
                    self._token, (sql, (self.turn_id, Jsonb(failed))), user=self._user
                )  # fmt: skip
                if row["model"] is None:
                    raise
                self.model = self._request["model"] = row["model"]

    async def _stream(self) -> None:
        stream = await self._gateway.post(
            "/chat/completions", cast_to=ChatCompletionChunk, body=self._request, stream=True,
            stream_cls=openai.AsyncStream[ChatCompletionChunk], options={"headers": self._trace.outgoing()},
        )  # fmt: skip
        async with stream:
            await self._read(stream)
        if self.finish_reason is None:
            # It ended, and did not say so.
            raise Problem("LC402")
        if not self.text.strip() and not self._calls:
            raise Problem("LC511")

    async def _read(self, stream: openai.AsyncStream[ChatCompletionChunk]) -> None:
        size = 0
        try:
            self._cost(stream.response.headers.get("x-litellm-response-cost"))
            async for chunk in stream:
                if chunk.usage:
                    self._usage |= chunk.usage.model_dump(include={"prompt_tokens", "completion_tokens"})
                    self._cost(getattr(chunk.usage, "cost", None))
                for choice in (chunk.choices or [])[:1]:
                    self.finish_reason = choice.finish_reason or self.finish_reason
                    for call in choice.delta.tool_calls or ():
                        self._collect(call)
                    if piece := choice.delta.content:
                        size += len(piece)
                        if size > self._settings.shim_max_reply_chars:
                            raise Problem("LC407")
                        await self._room.acquire()
                        self._text.append(piece)
                        self._tell("message", {"content": piece})
        except (openai.OpenAIError, Problem):
            raise
        except Exception as error:
            # Chunks of a shape that OpenAI's have not.
            raise Problem("LC407") from error

    def _cost(self, said: Any) -> None:
        """A stream's header is sent before anybody knows the cost: 0 says nothing."""
        try:
            cost = float(said)
        except (TypeError, ValueError):
            return
        if 0 < cost < 1e6:
            self._usage["cost_usd"] = cost

    def _collect(self, delta: Any) -> None:
        call = self._calls.setdefault(
            delta.index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = delta.id or call["id"]
        if delta.function:
            call["function"]["name"] += delta.function.name or ""
            call["function"]["arguments"] += delta.function.arguments or ""

    async def _store(self, status: str) -> dict[str, Any]:
        """finish_turn(), again until the database is there; said twice, it changes nothing."""
        sql, given = (
            "select * from loci.finish_turn(%s, %s, %s, %s)",
            [self.turn_id, self.text, Jsonb(self._usage), status],
        )
        if self._calls and status == "complete":
            sql = "select * from loci.finish_turn(%s, %s, %s, %s, tool_calls => %s)"
            given.append(Jsonb([self._calls[index] for index in sorted(self._calls)]))
        until, pause = time.monotonic() + self._settings.shim_database_seconds, 0.1
        while True:
            try:
                return (await self._database.run(self._token, (sql, given), user=self._user))[1]
            except Exception as error:
                if not problem_of(error).passing or time.monotonic() + pause > until:
                    raise
                log("database", self._trace, level="warning", code=problem_of(error).code)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 5)
