"""The routes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import openai
from psycopg.types.json import Jsonb
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loci_shim.database import Database, Statement
from loci_shim.logs import log, tracing
from loci_shim.problems import Problem, problem_of
from loci_shim.settings import Settings
from loci_shim.turn import Turn
from loci_shim.wire import Answer, openai_chunks, openai_completion, own_events

_NEW: Statement = ("insert into loci.conversations default values returning conversation_id", ())
_EARLIER = (
    "insert into loci.messages (conversation_id, role, content) select %s, m.role, m.content "
    "from unnest(%s::text[], %s::text[]) with ordinality as m (role, content, n) order by m.n returning conversation_id"
)
_BEGIN = (
    "select t.turn_id, t.request, c.id as conversation_id, loci.current_user_id() as user_id "
    "from (values (%s::uuid)) as c (id), loci.begin_turn(c.id, %s, %s) as t"
)


class Shim:
    """Stateless: what it holds are open streams."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        most, wait = settings.shim_connections, settings.shim_connection_seconds
        self._turns = Database(settings.turns_dsn, most, most, wait)
        self._decisions = Database(settings.decisions_dsn, 1, most, wait) if settings.decisions_dsn else None
        self._databases = [self._turns, self._decisions] if self._decisions else [self._turns]
        self._gateway = openai.AsyncOpenAI(
            base_url=settings.gateway_url, api_key=settings.gateway_key, max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False, trust_env=False, timeout=openai.Timeout(settings.shim_turn_seconds, connect=10)
            ),
        )  # fmt: skip
        self._running: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        for database in self._databases:
            await database.open()
        log("started", gateway=self._settings.gateway_url)
        yield
        # Streams are over; what they have produced may still be on its way into the database.
        if self._running:
            await asyncio.wait(set(self._running))
        for database in self._databases:
            await database.close()
        await self._gateway.close()
        log("stopped")

    async def _begin(
        self,
        request: Request,
        conversation: Any,
        content: str,
        *first: Statement,
        options: dict[str, Any] | None = None,
    ) -> Turn:
        trace, token = request.state.trace, _token(request)
        given = Jsonb({**(options or {}), "traceparent": trace.outgoing["traceparent"]})
        async with asyncio.timeout(self._settings.shim_database_seconds):
            begun = await self._turns.run(token, *first, (_BEGIN, (conversation, content, given)))
        turn = Turn(self._settings, self._turns, self._gateway, trace, token, begun)
        trace.turn_id = str(turn.id)
        task = asyncio.create_task(turn.run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return turn

    async def conversations(self, request: Request) -> Response:
        row = await self._turns.run(_token(request), _NEW)
        return JSONResponse({"conversation_id": str(row["conversation_id"])}, 201)

    async def messages(self, request: Request) -> Response:
        if "last-event-id" in request.headers:
            # A client that reconnects by itself. The question is not asked again; 204 tells it to stop.
            return Response(status_code=204)
        body = await self._body(request)
        options = body.get("options")
        if not isinstance(options, dict | None):
            raise Problem("LC710", "options of a turn are a JSON object")
        turn = await self._begin(
            request, request.path_params["conversation"], _text(body.get("content")), options=options
        )
        return Answer(self._settings, turn, own_events(turn) if body.get("stream") else None)

    async def completions(self, request: Request) -> Response:
        body = await self._body(request)
        if body.get("tools") or body.get("functions") or body.get("n") not in (None, 1) or body.get("response_format"):
            raise Problem("22023", "tools, formats and the number of answers are not the client's to choose")
        *earlier, (role, content) = _said(body.get("messages"))
        if role != "user":
            raise Problem("22023", "the last message is not a user's")
        if given := request.headers.get("x-loci-conversation"):
            try:
                conversation = UUID(given)
            except ValueError:
                raise Problem("LC702", "there is no such conversation of yours") from None
            turn = await self._begin(request, conversation, content)
        else:
            columns = [list(column) for column in zip(*earlier, strict=True)]
            first = (_NEW, (_EARLIER, (..., *columns))) if earlier else (_NEW,)
            turn = await self._begin(request, ..., content, *first)
        options = body.get("stream_options")
        usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return Answer(
            self._settings, turn, openai_chunks(turn, usage) if body.get("stream") else None, openai_completion(turn)
        )

    async def _decide(self, request: Request, statement: Statement) -> dict[str, Any]:
        if self._decisions is None:
            raise Problem("LC800", "nothing is decided here")
        async with asyncio.timeout(self._settings.shim_database_seconds):
            return await self._decisions.run(_token(request), statement)

    async def confirm(self, request: Request) -> Response:
        sql: Statement = "select status, result, error, ran from loci.confirm(%s)", (request.path_params["proposal"],)
        row = await self._decide(request, sql)
        if error := row["error"]:
            # What was raised for people to read, and no error of a table that the user knows nothing of.
            code = str(error.get("sqlstate"))
            known = code.startswith(("LC", "P0001"))
            row["error"] = {"code": code, "title": error.get("message") if known else "the action failed"}
        return JSONResponse(row)

    async def reject(self, request: Request) -> Response:
        body = await self._body(request, empty=True)
        reason = None if body.get("reason") is None else _text(body["reason"])
        sql: Statement = "select loci.reject(%s, %s) as rejected", (request.path_params["proposal"], reason)
        return JSONResponse(await self._decide(request, sql))

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        await asyncio.gather(*(database.ready() for database in self._databases))
        return JSONResponse({"status": "ok"})

    async def openapi(self, _: Request) -> Response:
        return FileResponse(Path(__file__).with_name("openapi.json"), media_type="application/json")

    async def _body(self, request: Request, *, empty: bool = False) -> dict[str, Any]:
        """Of somebody with a token; not longer, and not slower, than allowed."""
        _token(request)
        data = bytearray()
        try:
            async with asyncio.timeout(self._settings.shim_stall_seconds):
                async for piece in request.stream():
                    data += piece
                    if len(data) > self._settings.shim_max_body_bytes:
                        raise Problem("54000", "the request is too large")
        except TimeoutError:
            raise Problem("57014", "the request came too slowly", status=408) from None
        try:
            body = {} if empty and not data else json.loads(data)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Problem("22032", "the request is no JSON object")
        return body


def _token(request: Request) -> str:
    found = re.fullmatch(r"(?i:bearer) +([\w.~+/=-]+)", request.headers.get("authorization", ""), re.ASCII)
    if not found:
        raise Problem("LC110", "no token was sent")
    return found[1]


def _text(value: Any) -> str:
    """What a user says: a string, or OpenAI's list of text parts."""
    if isinstance(value, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        value = "\n".join(str(part.get("text", "")) for part in value)
    if not isinstance(value, str) or not re.fullmatch("[^\0\ud800-\udfff]*", value):
        raise Problem("22023", "a message is text")
    return value


def _said(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Problem("22023", "messages is a list of messages")
    # Instructions are the organization's; tools are Loci's.
    said = [(str(m["role"]), _text(m.get("content"))) for m in messages if m.get("role") in ("user", "assistant")]
    if not said:
        raise Problem("LC703", "there is no question")
    return said


class Edge:
    """Around everything: ids, log, the limit of requests at a time, errors as problem+json."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most, self._now = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = time.monotonic(), 0
        with tracing(scope["method"], Headers(scope=scope)) as trace:
            scope.setdefault("state", {})["trace"] = trace

            async def sending(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    MutableHeaders(scope=message)["X-Request-Id"] = trace.request_id
                await send(message)

            limited = scope["path"].startswith("/v1/")
            self._now += limited
            try:
                if limited and self._now > self._most:
                    raise Problem("53300", "too many requests are under way", retry_after=1)
                await self._app(scope, receive, sending)
            except ClientDisconnect:
                pass
            except Exception as error:
                problem = problem_of(error)
                if problem.status == 500 or status:
                    log("error", trace, level=logging.ERROR, code=problem.code, fault=type(error).__name__)
                if not status:
                    await problem.response()(scope, receive, sending)
            finally:
                self._now -= limited
                if limited:
                    took = round((time.monotonic() - began) * 1000)
                    log("request", trace, method=scope["method"], path=scope["path"], status=status or None, ms=took)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "02000" if error.status_code == 404 else "22023"
    response = Problem(code, error.detail, status=error.status_code).response()
    response.headers.update(error.headers or {})
    return response


def make_app(settings: Settings) -> Starlette:
    shim = Shim(settings)
    proposal = "/v1/proposals/{proposal:uuid}"
    routes = [
        Route("/v1/conversations", shim.conversations, methods=["POST"]),
        Route("/v1/conversations/{conversation:uuid}/messages", shim.messages, methods=["POST"]),
        Route("/v1/chat/completions", shim.completions, methods=["POST"]),
        Route(f"{proposal}/confirm", shim.confirm, methods=["POST"]),
        Route(f"{proposal}/reject", shim.reject, methods=["POST"]),
        Route("/healthz", shim.health),
        Route("/readyz", shim.ready),
        Route("/openapi.json", shim.openapi),
    ]
    return Starlette(
        routes=routes, lifespan=shim.lifespan, exception_handlers={HTTPException: _http_error},
        middleware=[Middleware(Edge, most=settings.shim_max_requests)],
    )  # fmt: skip
