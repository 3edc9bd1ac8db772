"""Answers on the wire: server-sent events, events of OpenAI's kind, or JSON; whoever hangs up ends the turn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from loci_shim.settings import Settings
from loci_shim.turn import Event, Turn

Format = Callable[[int, Event], str]
Shape = Callable[[dict[str, Any]], dict[str, Any]]


class Answer(StreamingResponse):
    """format: of each event of a stream; null: one JSON object, as shape makes it."""

    media_type = "text/event-stream"

    def __init__(self, settings: Settings, turn: Turn, format: Format | None, shape: Shape = dict) -> None:
        self._settings, self._turn, self._format, self._shape = settings, turn, format, shape
        self._about = {"X-Loci-Conversation": str(turn.conversation), "X-Loci-Turn": str(turn.id)}
        super().__init__(self._events(), headers=self._about | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            """A reader who takes nothing at all for so long counts as gone."""
            async with asyncio.timeout(self._settings.shim_stall_seconds):
                await send(message)

        self._scope, self._receive = scope, receive
        try:
            await super().__call__(scope, receive, in_time)
        finally:
            self._turn.stop()

    async def stream_response(self, send: Send) -> None:
        if self._format:
            await super().stream_response(send)
        else:
            response = await self._whole()
            response.headers.update(self._about)
            await response(self._scope, self._receive, send)

    async def _events(self) -> AsyncIterator[str]:
        assert self._format
        number = 0
        while True:
            try:
                events = await self._turn.next(self._settings.shim_heartbeat_seconds)
            except TimeoutError:
                yield ": still here\n"
                continue
            # Sending is what costs most: pieces that have come meanwhile go together.
            text = ""
            for event in events:
                number += 1
                text += self._format(number, event) if event else ""
            if text:
                yield text
            if events[-1] is None:
                return

    async def _whole(self) -> JSONResponse:
        found: dict[str, Any] = {"citations": [], "proposals": []}
        events: list[Event | None] = [("", {})]
        while events[-1]:
            events = await self._turn.next(None)
            for name, data in filter(None, events):
                if name in ("citation", "proposal"):
                    found[f"{name}s"].append(data)
                elif name == "usage":
                    found["usage"] = data
                elif name == "done":
                    found |= data
        about = {
            "conversation_id": str(self._turn.conversation),
            "turn_id": str(self._turn.id),
            "content": self._turn.text,
        }
        if self._turn.problem:
            return self._turn.problem.response(**about)
        return JSONResponse(self._shape({**about, "model": self._turn.model, **found}))


def own_events(turn: Turn) -> Format:
    """id: turn and number, so that a client that reconnects asks nothing twice."""

    def write(number: int, event: Event) -> str:
        first = "retry: 3000\n" if number == 1 else ""
        return f"{first}id: {turn.id}:{number}\nevent: {event[0]}\ndata: {json.dumps(event[1])}\n\n"

    return write


def openai_chunks(turn: Turn, include_usage: bool) -> Format:
    found: dict[str, Any] = {"conversation_id": str(turn.conversation), "citations": [], "proposals": []}
    first = {"role": "assistant"}

    def chunk(said: list[dict[str, Any]], **more: Any) -> str:
        return f"data: {json.dumps({**_about(turn), 'object': 'chat.completion.chunk', 'choices': said, **more})}\n\n"

    def choices(delta: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        delta = first | delta
        first.clear()
        return [{"index": 0, "delta": delta, "finish_reason": finish}]

    def write(_: int, event: Event) -> str:
        name, data = event
        if name == "message":
            return chunk(choices(data))
        if name in ("citation", "proposal"):
            found[f"{name}s"].append(data)
        elif name == "usage":
            found["usage"] = data
        elif name == "error":
            return f"data: {json.dumps({'error': data['error']})}\n\n"
        elif turn.problem:
            return "data: [DONE]\n\n"
        else:
            last = chunk(choices({}, _finish(turn)), loci={**found, **data})
            usage = chunk([], usage=_tokens(found["usage"])) if include_usage else ""
            return f"{last}{usage}data: [DONE]\n\n"
        return ""

    return write


def openai_completion(turn: Turn) -> Shape:
    def shape(found: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": found.pop("content"), "refusal": None}
        return {
            **_about(turn), "object": "chat.completion", "usage": _tokens(found["usage"]), "loci": found,
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(turn), "logprobs": None}],
        }  # fmt: skip

    return shape


def _about(turn: Turn) -> dict[str, Any]:
    return {"id": f"chatcmpl-{turn.id}", "created": int(time.time()), "model": turn.model}


def _finish(turn: Turn) -> str:
    # Calls of tools are proposals: nothing is left for the client to run.
    return "stop" if turn.finish_reason in (None, "tool_calls") else turn.finish_reason


def _tokens(usage: dict[str, Any]) -> dict[str, int]:
    read, written = usage["prompt_tokens"] or 0, usage["completion_tokens"] or 0
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
