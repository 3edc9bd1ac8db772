"""Answers on the wire: server-sent events, events of OpenAI's kind, or JSON; whoever hangs up ends the turn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from loci_shim.settings import Settings
from loci_shim.turn import Event, Turn

Format = Callable[[Turn, int, Event], bytes]


def _data(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


def own_event(turn: Turn, number: int, event: Event) -> bytes:
    """id: turn and number, so that a client that reconnects asks nothing twice."""
    first = "retry: 3000\n" if number == 1 else ""
    return f"{first}id: {turn.turn_id}:{number}\nevent: {event[0]}\n{_data(event[1])}".encode()


def openai_event(include_usage: bool, conversation: UUID) -> Format:
    found: dict[str, Any] = {"conversation_id": str(conversation), "citations": [], "proposals": []}

    def write(turn: Turn, number: int, event: Event) -> bytes:
        name, data = event
        about = {"id": f"chatcmpl-{turn.turn_id}", "created": int(time.time()), "model": turn.model}
        about |= {"object": "chat.completion.chunk"}

        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
            return _data({**about, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

        if name == "message":
            return chunk(({"role": "assistant"} if number == 1 else {}) | data).encode()
        if name in ("citation", "proposal"):
            found[f"{name}s"].append(data)
        elif name == "error":
            return _data({"error": data["error"]}).encode()
        elif name == "usage":
            found["usage"] = data
        elif name == "done":
            last = "" if turn.problem else chunk({}, _finish(turn), loci={**found, **data})
            if include_usage and not turn.problem:
                last += _data({**about, "choices": [], "usage": _tokens(found["usage"])})
            return (last + "data: [DONE]\n\n").encode()
        return b""

    return write


def _finish(turn: Turn) -> str:
    # Calls of tools are proposals: nothing is left for the client to run.
    return "stop" if turn.finish_reason in (None, "tool_calls") else turn.finish_reason


def _tokens(usage: dict[str, Any]) -> dict[str, int]:
    read, written = usage["prompt_tokens"] or 0, usage["completion_tokens"] or 0
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class Answer:
    """A response. format: of each event of a stream; null: one JSON object, as shape makes it."""

    def __init__(
        self, settings: Settings, turn: Turn, conversation: UUID, format: Format | None,
        shape: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:  # fmt: skip
        self._settings, self._turn, self._format, self._shape = settings, turn, format, shape
        self._about = {"conversation_id": str(conversation), "turn_id": str(turn.turn_id)}
        self._headers = {"X-Loci-Conversation": str(conversation), "X-Loci-Turn": str(turn.turn_id)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._stream(send) if self._format else self._whole(scope, receive, send)
        writing, watching = asyncio.create_task(answer), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({writing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._turn.stop()
            for task in (writing, watching):
                task.cancel()
            await asyncio.wait({writing, watching})
        if not writing.cancelled():
            writing.result()

    async def _stream(self, send: Send) -> None:
        headers = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in (headers | self._headers).items()]
        assert self._format is not None
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        number = 0
        while True:
            try:
                event = await self._turn.next(self._settings.shim_heartbeat_seconds)
            except TimeoutError:
                await self._send(send, b": still here\n")
                continue
            if event is None:
                return await self._send(send, b"", more=False)
            number += 1
            if data := self._format(self._turn, number, event):
                await self._send(send, data)

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        """A reader who takes nothing at all for so long counts as gone."""
        async with asyncio.timeout(self._settings.shim_stall_seconds):
            await send({"type": "http.response.body", "body": data, "more_body": more})

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: dict[str, Any] = {**self._about, "model": None, "content": "", "citations": [], "proposals": []}
        while event := await self._turn.next(float("inf")):
            name, data = event
            if name in ("citation", "proposal"):
                found[f"{name}s"].append(data)
            elif name == "usage":
                found["usage"] = data
            elif name == "done":
                found |= data
        found |= {"content": self._turn.text, "model": self._turn.model}
        if self._turn.problem:
            response = self._turn.problem.response(**self._about, content=found["content"])
        else:
            response = JSONResponse(self._shape(found))
        response.headers.update(self._headers)
        await response(scope, receive, send)


def completion(turn: Turn) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def shape(found: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": found["content"], "refusal": None}
        return {
            "id": f"chatcmpl-{turn.turn_id}", "object": "chat.completion", "created": int(time.time()), "model": turn.model,
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(turn), "logprobs": None}],
            "usage": _tokens(found["usage"]), "loci": {name: found[name] for name in found if name != "content"},
        }  # fmt: skip

    return shape


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
