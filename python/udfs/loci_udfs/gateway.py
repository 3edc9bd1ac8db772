"""The one client of an OpenAI-compatible gateway (LiteLLM or any other), for the database process.

Single thread: an event loop runs inside the call, and a heartbeat in it keeps the call cancellable. Retries, backoff and
cooldowns are the queue's business, not this client's: a request is made once, and its failure says of what kind it is.

Where requests go and what they carry is decided here and in loci.add_gateway(), by nothing else: redirects, proxies and
credentials of the environment (HTTPS_PROXY, OPENAI_*, .netrc) are ignored. Certificates are checked against the system's,
or those of SSL_CERT_FILE and SSL_CERT_DIR in the server's environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

import httpx2
import openai

from loci_udfs.errors import LociError
from loci_udfs.keys import resolve_key

T = TypeVar("T")

# overloaded, outage, misconfigured: the gateway's state, as far as one request can tell. rejected: what was sent.
Kind = Literal["overloaded", "outage", "misconfigured", "rejected"]

_HEARTBEAT_SECONDS = 0.2
# What a cancelled request may still take to close its sockets.
_FAREWELL_SECONDS = 0.3
_LONGEST_WAIT = 3600.0
_LARGEST_ANSWER = 64 * 1024 * 1024
# An error page says what it has to say early.
_LARGEST_ERROR = 64 * 1024
_QUOTED = 300
# Shortest piece of a sent text, and of the key, that an error must not repeat.
_PIECE_OF_TEXT = 16
_PIECE_OF_KEY = 6
# All else that the openai package would add, or take from OPENAI_* variables, stays here.
_HEADERS_SENT = frozenset({"host", "accept", "content-type", "content-length", "traceparent", "tracestate"})

# Names are looked up in this thread, and a cancel waits for that: so it must not take long when no name server answers.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")


@dataclass(frozen=True, slots=True)
class Gateway:
    """One row of loci_private.gateways. base_url ends in /v1; api_key_ref: env:NAME or file:PATH."""

    gateway: str
    base_url: str | None
    api_key_ref: str | None = None
    max_concurrency: int = 5
    timeout_seconds: float = 30.0


class GatewayError(LociError):
    """A request to the gateway failed. retry_after: seconds that the gateway asked to wait, if it did."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        sqlstate: str,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint, sqlstate=sqlstate)
        self.kind: Kind = kind
        self.retry_after = retry_after


class NotSent(Exception):
    """The caller's permit said no: no request was made."""


@dataclass(frozen=True, slots=True)
class Answer:
    """body: the decoded JSON object; headers: names in lower case."""

    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def cost_usd(self) -> float | None:
        """What the gateway says that it cost; None where it says nothing that can be a cost."""
        try:
            cost = float(self.headers["x-litellm-response-cost"])
        except (KeyError, ValueError):
            return None
        return cost if 0 <= cost < 1_000_000 else None


def run(main: Callable[[], Awaitable[T]], checkpoint: Callable[[], None]) -> T:
    """Run a coroutine to its end in this thread, calling checkpoint() several times a second.

    Whatever checkpoint() raises (a cancel) ends the coroutine and is raised here.
    """

    async def supervise() -> T:
        task = asyncio.ensure_future(main())
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_HEARTBEAT_SECONDS)
                checkpoint()
            return task.result()
        finally:
            await _end([task])

    # Not asyncio.run(): it would look after SIGINT, which is the server's.
    loop = _Loop()
    try:
        return loop.run_until_complete(supervise())
    finally:
        loop.run_until_complete(_end(asyncio.all_tasks(loop)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def gather(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them side by side; the first exception ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def _end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_FAREWELL_SECONDS)


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        # asyncio's own would start a thread, and signals of the server could end up in it.
        return socket.getaddrinfo(host, port, family, type, proto, flags)


class Client:
    """Requests to one gateway; use as an async context manager within one event loop.

    largest_answer: bytes, unpacked; reading stops there. permit: asked before each request, at the last moment;
    where it says no, NotSent is raised.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        largest_answer: int = _LARGEST_ANSWER,
        permit: Callable[[], bool] | None = None,
    ) -> None:
        if not gateway.base_url:
            raise GatewayError(
                "misconfigured",
                f'the gateway "{gateway.gateway}" has no address',
                hint="As loci_admin: select loci.add_gateway('default', base_url => 'http://host:4000/v1').",
                sqlstate="LC400",
            )
        self._gateway = gateway
        self._key = _key(gateway.api_key_ref) if gateway.api_key_ref else None
        self._largest_answer = largest_answer
        self._permit = permit
        self._slots = asyncio.Semaphore(gateway.max_concurrency)
        self._openai: Any = None

    async def __aenter__(self) -> Client:
        transport = _Transport(
            httpx2.AsyncHTTPTransport(verify=_certificates(self._gateway.base_url or ""), trust_env=False),
            self._key,
            self._largest_answer,
        )
        self._openai = openai.AsyncOpenAI(
            base_url=self._gateway.base_url,
            # It insists on a key; what is sent is the transport's choice.
            api_key="none",
            max_retries=0,
            # Deadlines are post()'s: this one would start anew with each byte.
            timeout=None,
            http_client=httpx2.AsyncClient(transport=transport, follow_redirects=False, trust_env=False, timeout=None),
        )
        # It would find this out in a thread.
        self._openai._platform = "Linux"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._openai.close()

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        private: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Answer:
        """One POST of JSON, answered by a JSON object. path: below base_url, such as /embeddings.

        private: texts that no error may repeat, as some servers' do. timeout: less than the gateway's.
        Raises GatewayError: LC401 overloaded (429), LC402 no connection or a failing server, LC403 too slow,
        LC404 credentials refused, LC405 not found or redirected, LC406 request rejected, LC407 unusable answer.
        """
        seconds = min(timeout or self._gateway.timeout_seconds, self._gateway.timeout_seconds)
        async with self._slots:
            if self._permit is not None and not self._permit():
                raise NotSent
            try:
                async with asyncio.timeout(seconds):
                    response = await self._openai.post(
                        path, body=dict(body), cast_to=httpx2.Response, options={"headers": dict(headers or {})}
                    )
            except TimeoutError:
                raise GatewayError(
                    "outage",
                    "the gateway did not answer in time",
                    detail=f"{self._where} took longer than {seconds:g} seconds.",
                    sqlstate="LC403",
                ) from None
            except openai.APIStatusError as error:
                raise self._refused(error.response, private) from None
            except openai.APIConnectionError as error:
                cause = error.__cause__ or error
                if isinstance(cause, httpx2.DecodingError | _TooLarge):
                    raise self._unusable(f"{self._where} sent {cause}.") from None
                raise self._unreachable(cause) from None
            except openai.APIError as error:
                raise self._unusable(f"{self._where}: {type(error).__name__}.") from None
        return self._answer(response, private)

    async def chat(
        self, body: Mapping[str, Any], *, traceparent: str | None = None, private: Sequence[str] = ()
    ) -> Answer:
        """One chat completion. traceparent: W3C trace context that the gateway is to continue. Raises as post() does."""
        headers = {"traceparent": traceparent} if traceparent else {}
        return await self.post("/chat/completions", body, headers=headers, private=private)

    @property
    def _where(self) -> str:
        return f'The gateway "{self._gateway.gateway}"'

    def _answer(self, response: httpx2.Response, private: Sequence[str]) -> Answer:
        if not response.is_success:
            raise self._refused(response, private)
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            raise self._unusable(f"It is not JSON: {self._quote(response, private)}") from None
        if not isinstance(body, dict):
            raise self._unusable(f"It is a JSON {type(body).__name__} instead of an object.")
        return Answer(body, {name.lower(): value for name, value in response.headers.items()})

    def _refused(self, response: httpx2.Response, private: Sequence[str]) -> GatewayError:
        status = int(response.status_code)
        detail = f"{self._where} answered {status}: {self._quote(response, private)}"
        if status == 429:
            return GatewayError(
                "overloaded",
                "the gateway asks to slow down",
                detail=detail,
                sqlstate="LC401",
                retry_after=_retry_after(response.headers),
            )
        if status >= 500 or status == 408:
            return GatewayError(
                "outage",
                "the gateway failed",
                detail=detail,
                sqlstate="LC402",
                retry_after=_retry_after(response.headers),
            )
        if status in (401, 402, 403):
            return GatewayError(
                "misconfigured",
                "the gateway refused the credentials",
                detail=detail,
                hint="Check the key behind the gateway's api_key_ref, and what it may use.",
                sqlstate="LC404",
            )
        if status == 404 or status < 400:
            return GatewayError(
                "misconfigured",
                "the gateway does not know this address or model",
                detail=detail,
                hint="base_url ends in /v1 and is the final address: redirects are not followed.",
                sqlstate="LC405",
            )
        return GatewayError("rejected", "the gateway rejected the request", detail=detail, sqlstate="LC406")

    def _unreachable(self, cause: BaseException) -> GatewayError:
        said = _one_line(f"{type(cause).__name__}: {cause}")
        return GatewayError(
            "outage",
            "the connection to the gateway failed",
            detail=f"{self._where}: {_without(said, self._key)}",
            sqlstate="LC402",
        )

    def _unusable(self, detail: str) -> GatewayError:
        return GatewayError("outage", "the gateway's answer cannot be used", detail=detail, sqlstate="LC407")

    def _quote(self, response: httpx2.Response, private: Sequence[str]) -> str:
        """The beginning of an answer, on one line, without the key and the texts that some servers echo."""
        text = response.content[:_LARGEST_ERROR].decode(errors="replace")
        message: Any = text
        try:
            error = json.loads(text)["error"]
            message = error["message"] if isinstance(error, dict) else error
        except (ValueError, RecursionError, KeyError, TypeError):
            pass
        # Longer than what is quoted: the end of a key must not be cut in two.
        said = _one_line(str(message or text), 2 * _QUOTED)
        return _without(said, self._key, private)[:_QUOTED] or "(empty)"


class _TooLarge(httpx2.RequestError):
    pass


class _Transport(httpx2.AsyncBaseTransport):
    """Sends only the headers that are meant, and reads an answer within bounds."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, key: str | None, largest_answer: int) -> None:
        self._inner = inner
        self._key = key
        self._largest_answer = largest_answer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in set(request.headers) - _HEADERS_SENT:
            del request.headers[name]
        request.headers["user-agent"] = "loci"
        request.headers["accept-encoding"] = "gzip, identity"
        if self._key is not None:
            request.headers["authorization"] = f"Bearer {self._key}"
        answer = await self._inner.handle_async_request(request)
        body = bytearray()
        try:
            async for piece in answer.aiter_bytes():
                body += piece
                if not answer.is_success and len(body) > _LARGEST_ERROR:
                    break
                if len(body) > self._largest_answer:
                    raise _TooLarge(f"more than {self._largest_answer} bytes", request=request)
        finally:
            await answer.aclose()
        headers = [
            (name, value)
            for name, value in answer.headers.multi_items()
            if name not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx2.Response(answer.status_code, headers=headers, content=bytes(body))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _certificates(base_url: str) -> ssl.SSLContext:
    if base_url.startswith("https:"):
        return httpx2.create_ssl_context()
    # Nobody is trusted, and loading the system's certificates takes longer than a request.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _key(reference: str) -> str:
    try:
        key = resolve_key(reference)
    except LociError as error:
        raise GatewayError(
            "misconfigured", error.message, detail=error.detail, hint=error.hint, sqlstate=error.sqlstate
        ) from None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise GatewayError(
            "misconfigured",
            "unusable key",
            detail=f"It has characters that no HTTP header can carry. The reference is {reference}.",
            hint="A key is one line of letters, digits and punctuation.",
            sqlstate="LC408",
        )
    return key


def _one_line(text: str, length: int = _QUOTED) -> str:
    return " ".join(text[: 8 * length].replace("\0", " ").split())[:length]


def _without(said: str, key: str | None, texts: Sequence[str] = ()) -> str:
    """said without pieces of the key, hashes, and pieces of the texts."""
    if key:
        said = _blank(said, [key], min(len(key), _PIECE_OF_KEY), "[key]")
    said = re.sub(r"[0-9a-fA-F]{32,}", "[hash]", said)
    long: list[str] = []
    short: list[str] = []
    for text in texts:
        text = " ".join(text.split())
        (long if len(text) >= _PIECE_OF_TEXT else short).append(text)
    for text in short:
        said = said.replace(text, "[text]") if len(text) > 3 else said
    return _blank(said, long, _PIECE_OF_TEXT, "[text]")


def _blank(said: str, secrets: Sequence[str], size: int, mark: str) -> str:
    """said with every run of characters that a secret holds too, from this size on, replaced by mark."""
    secret = "\0".join(secrets)
    parts: list[str] = []
    kept = position = 0
    while position <= len(said) - size:
        if said[position : position + size] not in secret:
            position += 1
            continue
        end = position + size
        while end < len(said) and said[end - size + 1 : end + 1] in secret:
            end += 1
        parts += said[kept:position], mark
        kept = position = end
    return "".join(parts) + said[kept:]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, given as a number or a date; None without a usable one."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = _moment(value)
        if moment is None:
            return None
        # The gateway's own clock, where it tells the time, says how far away its date is.
        seconds = (moment - (_moment(headers.get("date")) or datetime.now(UTC))).total_seconds()
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _moment(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
