"""The shim as a process of its own, between real sockets: a database on one side, an endpoint that misbehaves on the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.database import ROOT, Database, People, wait_until
from tests.gateway.fault_server import FaultServer

SECRET = "not a real secret, but one of more than 32 bytes"
KEY = "sk-gateway-5d1f0c9b7a3e"
HOUSE = "The spare key hangs behind the clock in the hall."
LIMITS = {
    "chat_user_requests_per_minute": "1000000",
    "chat_organization_requests_per_minute": "1000000",
    "chat_max_in_flight": "1000",
}


def token(user: UUID | str, seconds: float = 600, key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    claims = {"sub": str(user), "exp": time.time() + seconds}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Shim:
    """One process. log: its lines, read as JSON."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.port, self._path = free_port(), path
        self.url = f"http://127.0.0.1:{self.port}"
        with open(path, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "loci_shim"],
                env={**os.environ, "PYTHONPATH": str(ROOT / "python/shim"), **environment, "LOCI_SHIM_PORT": str(self.port)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        wait_until(self._answers, "the shim answers")
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._path.read_text()
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def raw_log(self) -> str:
        return self._path.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw_log.splitlines()]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


class World:
    """A database that the shim's two logins reach, a user with a house, and what tests ask of them."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self._folder = db, folder
        self.people: People = db.people()
        self.agent = db.login_role("agent", "loci_app", "loci_proposer")
        self.desk = db.login_role("desk", "loci_app", "loci_approver")
        self.house = db.document(self.people.ada, HOUSE, title="House")
        db.drain()
        self.use_key(SECRET)
        for name, value in LIMITS.items():
            db.execute("update loci.settings set value = %s where name = %s", value, name)
        db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
        db.execute(
            "insert into loci.model_prices (model, input_usd, output_usd) values ('first', 1, 1), ('second', 1, 1)"
        )
        db.execute("select loci.add_gateway('default', 'http://127.0.0.1:9/v1', requests_per_minute => 1000000)")

    def use_key(self, content: str, algorithm: str = "HS256") -> None:
        """Written by the server, so that it can read it wherever it runs."""
        path = f"/tmp/{self.db.name}.{uuid4()}.key"
        self.db.execute(f"copy (select $${content}$$) to '{path}' (format csv, quote E'\\x01', delimiter E'\\x02')")
        self.db.execute("update loci.settings set value = %s where name = 'jwt_algorithms'", algorithm)
        self.db.execute("update loci.settings set value = %s where name = 'jwt_key_ref'", f"file:{path}")

    def begin(self, server: FaultServer) -> None:
        self.server = server
        # Turns of the last test that are still being stored.
        opened = "select from loci_private.turns where status = 'open'"
        wait_until(lambda: not self.db.rows(opened) and not self.busy, "nothing is under way")
        self.db.execute("update loci.settings set value = null where name = 'chat_fallback_model'")
        self.db.execute("truncate loci_private.calls, loci.conversations cascade")
        self.db.forget_requests()

    @property
    def busy(self) -> bool:
        """Whether a login of the shim has a transaction open."""
        sql = "select from pg_stat_activity where usename in (%s, %s) and state <> 'idle'"
        return bool(self.db.rows(sql, self.agent, self.desk))

    def shim(self, **environment: Any) -> Shim:
        given = {
            "LOCI_TURNS_DSN": self.db.dsn_as(self.agent), "LOCI_DECISIONS_DSN": self.db.dsn_as(self.desk),
            "LOCI_GATEWAY_URL": self.server.base_url, "LOCI_GATEWAY_KEY": KEY,
            # Each new connection costs processor time, which the tests have better use for.
            "LOCI_SHIM_CONNECTIONS": "4",
        }  # fmt: skip
        more = {f"LOCI_{name.upper()}": str(value) for name, value in environment.items()}
        return Shim(self._folder / f"{uuid4()}.log", given | more)

    def headers(self, user: UUID | None = None, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token(user or self.people.ada)}", **more}

    def conversation(self, user: UUID | None = None) -> UUID:
        sql = "insert into loci.conversations (user_id) values (%s) returning conversation_id"
        return self.db.value(sql, user or self.people.ada)  # type: ignore[no-any-return]

    def messages(self, conversation: UUID | str) -> list[tuple[str, str, str]]:
        rows = self.db.rows(
            "select role, content, status from loci.messages where conversation_id = %s order by message_id",
            conversation,
        )
        return [(row["role"], row["content"], row["status"]) for row in rows]

    def answered(self, conversation: UUID | str, status: str) -> str:
        """The text of the answer, once the turn has ended in this way."""

        def turn() -> Any:
            sql = "select status from loci_private.turns where conversation_id = %s order by begun_at desc limit 1"
            return next((row["status"] for row in self.db.rows(sql, conversation)), "open")

        wait_until(lambda: turn() != "open", "the turn ends")
        assert turn() == status
        return "".join(content for role, content, stated in self.messages(conversation) if role == "assistant")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self.db.rows("select * from loci.calls order by called_at")


class Client:
    """A user of one shim."""

    def __init__(self, world: World, shim: Shim) -> None:
        self.world, self.shim = world, shim

    def ask(
        self, conversation: UUID, content: str = "Where is the spare key?", user: UUID | None = None, **more: Any
    ) -> httpx.Response:
        """As JSON."""
        return self.shim.http.post(
            f"/v1/conversations/{conversation}/messages",
            json={"content": content, **more},
            headers=self.world.headers(user),
        )

    def events(
        self, conversation: UUID, content: str = "Where is the spare key?", **headers: str
    ) -> list[ServerSentEvent]:
        with self.streaming(conversation, content, **headers) as events:
            return list(events)

    @contextlib.contextmanager
    def streaming(
        self, conversation: UUID, content: str = "Where is the spare key?", bearer: str | None = None, **headers: str
    ) -> Iterator[Iterator[ServerSentEvent]]:
        """Hangs up at the end."""
        given = self.world.headers(**headers) | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        url, body = f"{self.shim.url}/v1/conversations/{conversation}/messages", {"content": content, "stream": True}
        # A connection of its own, which is closed rather than kept.
        with httpx.Client(timeout=60) as http, connect_sse(http, "POST", url, json=body, headers=given) as source:
            yield source.iter_sse()


@pytest.fixture(scope="module")
def only_world(db: Database, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(db, tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def only_server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def world(only_world: World, only_server: FaultServer) -> World:
    only_server.clear()
    only_server.sent = 0
    only_world.begin(only_server)
    return only_world


@pytest.fixture(scope="module")
def only_shim(only_world: World, only_server: FaultServer) -> Iterator[Shim]:
    only_world.begin(only_server)
    shim = only_world.shim()
    yield shim
    shim.close()


@pytest.fixture
def client(world: World, only_shim: Shim) -> Client:
    return Client(world, only_shim)


@pytest.fixture
def new_client(world: World) -> Iterator[Callable[..., Client]]:
    """A shim with other settings, for one test: shim_max_requests=1 sets LOCI_SHIM_MAX_REQUESTS."""
    made: list[Shim] = []

    def make(**environment: Any) -> Client:
        made.append(world.shim(**environment))
        return Client(world, made[-1])

    yield make
    for shim in made:
        shim.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Where a stream of the endpoint stops until it is set."""
    event = threading.Event()
    yield event
    event.set()


def data_of(events: list[ServerSentEvent], name: str) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in events if event.event == name]


def text_of(events: list[ServerSentEvent]) -> str:
    return "".join(piece["content"] for piece in data_of(events, "message"))
