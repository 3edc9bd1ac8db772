"""An OpenAI-compatible endpoint, for embeddings and chat, that fails the way it is told to, for tests.

A behaviour is a function of one Exchange that writes an answer, or breaks it off. The server asks, in this order: rules
(`when`), behaviours for the next requests (`then`), the behaviour for all others (`always`).
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
import hashlib
import ipaddress
import json
import math
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

Behaviour = Callable[["Exchange"], None]
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass
class Request:
    """headers: names in lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def texts(self) -> list[str]:
        """What is to be embedded, or the messages of a chat."""
        if self.is_chat:
            return [message.get("content") or "" for message in self.body["messages"]]
        return list(self.body.get("input", []))

    @property
    def is_chat(self) -> bool:
        return self.path.endswith("/chat/completions")


class Exchange:
    """One request and the socket that its answer goes to."""

    def __init__(self, server: FaultServer, connection: socket.socket, request: Request) -> None:
        self.server = server
        self.request = request
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Fault'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.head(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        self.send(data)

    def reset(self) -> None:
        """RST instead of a farewell."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        raise ConnectionAbortedError

    def close(self) -> None:
        raise ConnectionAbortedError

    def wait(self, seconds: float = math.inf) -> None:
        """Until then, or until the client hangs up or the server ends."""
        until = time.monotonic() + seconds
        self._connection.settimeout(0.05)
        while not self.server.ended.is_set() and (left := until - time.monotonic()) > 0:
            self._connection.settimeout(min(left, 0.05))
            try:
                if not self._connection.recv(1):
                    raise ConnectionAbortedError
            except TimeoutError:
                continue
        self._connection.settimeout(None)
        if self.server.ended.is_set():
            raise ConnectionAbortedError


# --- vectors ----------------------------------------------------------------------------------------------------------


def vector_of(text: str, dimensions: int) -> list[float]:
    """The same text has the same vector, of length 1."""
    bits = hashlib.shake_256(text.encode()).digest(dimensions * 2)
    raw = [value / 32768 - 1 for value in struct.unpack(f"<{dimensions}H", bits)]
    length = math.sqrt(sum(value * value for value in raw))
    return [value / length for value in raw]


def items(exchange: Exchange, as_base64: bool | None = None) -> list[dict[str, Any]]:
    if as_base64 is None:
        as_base64 = exchange.request.body.get("encoding_format") == "base64"
    found = []
    for index, text in enumerate(exchange.request.texts):
        vector: Any = vector_of(text, exchange.server.dimensions)
        if as_base64:
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        found.append({"object": "embedding", "index": index, "embedding": vector})
    return found


def embeddings(data: Any, request: Request) -> dict[str, Any]:
    tokens = sum(len(text.split()) for text in request.texts)
    return {
        "object": "list",
        "data": data,
        "model": request.body.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


# --- chat -------------------------------------------------------------------------------------------------------------


def completion(request: Request, message: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    """Three tokens in, two out."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": request.body.get("model"),
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def says(
    content: str | None, finish_reason: str = "stop", *, headers: Mapping[str, str] | None = None, **more: Any
) -> Behaviour:
    return lambda e: e.answer(completion(e.request, {"content": content}, finish_reason) | more, headers=headers)


def calls(*arguments: Any, name: str = "answer", finish_reason: str = "tool_calls") -> Behaviour:
    """Calls of a tool; arguments: text as it is, anything else as JSON."""

    def act(exchange: Exchange) -> None:
        tool_calls = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for number, given in enumerate(arguments)
        ]
        exchange.answer(completion(exchange.request, {"content": None, "tool_calls": tool_calls}, finish_reason))

    return act


def streams(
    *pieces: str | dict[str, Any] | threading.Event,
    end: Behaviour | None = None,
    finish_reason: str = "stop",
    headers: Mapping[str, str] | None = None,
    cost: float | None = None,
) -> Behaviour:
    """A stream of deltas: texts, or other fields of a delta. At an Event it stops until that is set.

    end: what happens instead of a proper end. cost: in the usage, as LiteLLM can be told to send it.
    """

    def act(exchange: Exchange) -> None:
        def event(**fields: Any) -> None:
            _piece(exchange, {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, **about, **fields})

        about = {"model": exchange.request.body.get("model")}
        chunked = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        exchange.head(200, {**chunked, **(headers or {})})
        for piece in pieces:
            if isinstance(piece, threading.Event):
                while not piece.is_set():
                    exchange.wait(0.01)
                continue
            delta = {"content": piece} if isinstance(piece, str) else piece
            event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        if end is not None:
            return end(exchange)
        event(choices=[{"index": 0, "delta": {}, "finish_reason": finish_reason}])
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        event(choices=[], usage=usage if cost is None else usage | {"cost": cost})
        _piece(exchange, "[DONE]")
        exchange.send(b"0\r\n\r\n")
        return None

    return act


def stream_ends(exchange: Exchange) -> None:
    """Properly, as far as HTTP can tell; in the middle of the answer."""
    exchange.send(b"0\r\n\r\n")


def stream_fails(exchange: Exchange) -> None:
    """It says so itself."""
    _piece(exchange, {"error": {"message": "overloaded at /srv/models", "code": 500}})
    exchange.send(b"0\r\n\r\n")


def _piece(exchange: Exchange, data: Any) -> None:
    line = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
    exchange.send(b"%x\r\n%s\r\n" % (len(line), line))
    exchange.server.sent += len(line)


def without(field: str, behaviour: Behaviour, code: int = 400) -> Behaviour:
    """A gateway that rejects requests with this field, as many do with tools or response_format."""
    rejected = status(code, f"this model does not support {field}")
    return lambda e: (rejected if field in e.request.body else behaviour)(e)


def expected(exchange: Exchange) -> dict[str, Any]:
    """What an endpoint in order would answer."""
    if exchange.request.is_chat:
        return completion(exchange.request, {"content": "The harbour master."})
    return embeddings(items(exchange), exchange.request)


# --- behaviours -------------------------------------------------------------------------------------------------------


def ok(*, floats: bool = False, headers: Mapping[str, str] | None = None) -> Behaviour:
    return lambda e: e.answer(embeddings(items(e, False), e.request) if floats else expected(e), headers=headers)


def after(seconds: float, behaviour: Behaviour | None = None) -> Behaviour:
    def act(exchange: Exchange) -> None:
        exchange.wait(seconds)
        (behaviour or ok())(exchange)

    return act


def status(code: int, message: str = "a fault", *, retry_after: str | None = None, **headers: str) -> Behaviour:
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return lambda e: e.answer({"error": {"message": message, "code": str(code)}}, code, headers)


def body(content: Any, code: int = 200, content_type: str = "application/json") -> Behaviour:
    return lambda e: e.answer(content, code, {"Content-Type": content_type})


def changed(change: Callable[[list[dict[str, Any]]], Any], *, floats: bool = True) -> Behaviour:
    """An answer whose items were tampered with."""

    def act(exchange: Exchange) -> None:
        data = items(exchange, not floats)
        result = change(data)
        exchange.answer(embeddings(data if result is None else result, exchange.request))

    return act


def dimensions(count: int) -> Behaviour:
    return changed(lambda data: [{**item, "embedding": [0.5] * count} for item in data])


def redirect(location: str, code: int = 307) -> Behaviour:
    return lambda e: e.answer(b"", code, {"Location": location})


def truncated(exchange: Exchange) -> None:
    data = json.dumps(expected(exchange)).encode()
    exchange.head(200, {"Content-Type": "application/json", "Content-Length": str(len(data))})
    exchange.send(data[: len(data) // 2])
    exchange.close()


def length_too_short(exchange: Exchange) -> None:
    data = json.dumps(expected(exchange)).encode()
    exchange.head(200, {"Content-Type": "application/json", "Content-Length": str(len(data) - 7)})
    exchange.send(data)
    exchange.close()


def broken_chunks(exchange: Exchange) -> None:
    exchange.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    exchange.send(b"5\r\n{'x':\r\nnonsense\r\n")
    exchange.close()


def no_http(exchange: Exchange) -> None:
    exchange.send(b"220 mail.example.org ESMTP\r\n")
    exchange.close()


def reset(exchange: Exchange) -> None:
    exchange.reset()


def reset_within(exchange: Exchange) -> None:
    exchange.head(200, {"Content-Type": "application/json", "Content-Length": "100000"})
    exchange.send(b'{"data": [')
    exchange.reset()


def hang(exchange: Exchange) -> None:
    exchange.wait()


def trickle(seconds: float = 0.1) -> Behaviour:
    """A byte now and then, so that no single read takes long."""

    def act(exchange: Exchange) -> None:
        data = json.dumps(expected(exchange)).encode()
        exchange.head(200, {"Content-Type": "application/json", "Content-Length": str(len(data))})
        for position in range(len(data)):
            exchange.send(data[position : position + 1])
            exchange.wait(seconds)

    return act


def huge(size: int, code: int = 200) -> Behaviour:
    def act(exchange: Exchange) -> None:
        exchange.head(code, {"Content-Type": "application/json", "Content-Length": str(size)})
        piece = b" " * 65536
        for _ in range(size // len(piece)):
            exchange.send(piece)
            exchange.server.sent += len(piece)
        exchange.close()

    return act


def gzip_bomb(size: int) -> Behaviour:
    data = gzip.compress(b" " * size)
    return lambda e: e.answer(data, headers={"Content-Encoding": "gzip"})


def gzipped(exchange: Exchange) -> None:
    data = json.dumps(expected(exchange)).encode()
    exchange.answer(gzip.compress(data), headers={"Content-Encoding": "gzip"})


def echo_key(code: int) -> Behaviour:
    """Servers like to say which key it was that they refused."""

    def act(exchange: Exchange) -> None:
        key = exchange.request.headers.get("authorization", "").removeprefix("Bearer ")
        message = (
            f"Incorrect API key provided: {key}. ({key[:4]}...{key[-12:]}, {hashlib.sha256(key.encode()).hexdigest()})"
        )
        exchange.answer({"error": {"message": message}}, code)

    return act


def echo_texts(code: int) -> Behaviour:
    return lambda e: e.answer({"error": {"message": f"cannot embed {e.request.texts}"}}, code)


# --- the server -------------------------------------------------------------------------------------------------------


class FaultServer:
    """requests: all that came, in order; most_in_flight: how many were being answered at once; sent: bytes of huge() and streams().

    reached_as: the address under which others see the host that it listens on. tls: PEM file of certificate and key.
    """

    def __init__(
        self, *, dimensions: int = 8, listen: str = "127.0.0.1", reached_as: str = "127.0.0.1", tls: Path | None = None
    ) -> None:
        self.dimensions = dimensions
        self.ended = threading.Event()
        self.sent = 0
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls)
        self._socket = socket.create_server((listen, 0), backlog=128)
        self.port = int(self._socket.getsockname()[1])
        self.base_url = f"{'https' if tls else 'http'}://{reached_as}:{self.port}/v1"
        self.clear()
        threading.Thread(target=self._accept, daemon=True).start()

    def clear(self) -> None:
        """As at the start: everything is answered well, nothing came yet."""
        with self._lock:
            self.requests: list[Request] = []
            self.in_flight = 0
            self.most_in_flight = 0
            self._rules: list[tuple[Callable[[Request], bool], Behaviour]] = []
            self._next: deque[Behaviour] = deque()
            self._always: Behaviour = ok()

    def always(self, behaviour: Behaviour) -> None:
        self._always = behaviour

    def then(self, *behaviours: Behaviour) -> None:
        """For the next requests, one each."""
        self._next.extend(behaviours)

    def when(self, marker: str, behaviour: Behaviour) -> None:
        """For requests with a text that contains this."""
        self._rules.append((lambda request: any(marker in text for text in request.texts), behaviour))

    @property
    def sizes(self) -> list[int]:
        """Texts of each request."""
        return [len(request.texts) for request in self.requests]

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def count(self, text: str) -> int:
        """How many requests contained this text."""
        return sum(any(text in sent for sent in request.texts) for request in self.requests)

    def stop(self) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        wrapped = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                wrapped = self._tls.wrap_socket(connection, server_side=True)
            while (request := _read(wrapped)) is not None:
                self._respond(Exchange(self, wrapped, request))
        except (OSError, ValueError):
            pass
        finally:
            wrapped.close()
            self._connections.discard(connection)

    def _respond(self, exchange: Exchange) -> None:
        with self._lock:
            self.requests.append(exchange.request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            matching = [behaviour for rule, behaviour in self._rules if rule(exchange.request)]
            behaviour = matching[0] if matching else self._next.popleft() if self._next else self._always
        try:
            behaviour(exchange)
        finally:
            with self._lock:
                self.in_flight -= 1


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
        if not data[:1].isupper():
            raise ValueError("not HTTP")
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    while len(rest) < length:
        piece = connection.recv(65536)
        if not piece:
            return None
        rest += piece
    return Request(first.split(" ")[1], headers, json.loads(rest or b"{}"))


def make_certificate(directory: Path, names: Sequence[str] = ("127.0.0.1",), days: int = 1) -> Path:
    """A self-signed certificate and its key in one PEM file; names: host names and addresses."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Loci tests")])
    now = datetime.datetime.now(datetime.UTC)
    known: list[x509.GeneralName] = []
    for given in names:
        try:
            known.append(x509.IPAddress(ipaddress.ip_address(given)))
        except ValueError:
            known.append(x509.DNSName(given))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{'_'.join(names)}_{days}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
