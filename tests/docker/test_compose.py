"""compose.yaml as a whole: database, LiteLLM, shim, metrics. Grafana, which Debian does not have, is left out.

docker/test-docker.sh builds the images and names them; compose itself, where the machine has none, is one of them.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.database import ROOT, wait_until
from tests.servers.docker_server import free_port

STAND_INS = os.environ.get("LOCI_STAND_INS", "")
pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not STAND_INS, reason="no images (LOCI_STAND_INS): docker/test-docker.sh builds them"),
]
ANSWER = "It hangs behind the clock [1]."
SERVICES = ["database", "litellm", "shim", "metrics", "exporter", "prometheus"]


class Stack:
    """docker compose for this tree, under a name and ports of its own."""

    def __init__(self, home: Path) -> None:
        self.ports = {name: str(free_port()) for name in ("LOCI_PORT", "LOCI_SHIM_PORT", "PROMETHEUS_PORT")}
        self.password = secrets.token_urlsafe(16)
        config = {
            "model_list": [
                {
                    "model_name": "chat",
                    "litellm_params": {"model": "openai/chat", "api_key": "none", "mock_response": ANSWER},
                }
            ],
            "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        }
        # JSON is YAML.
        (home / "litellm.yaml").write_text(json.dumps(config))
        self._given = {
            **self.ports, "POSTGRES_PASSWORD": self.password, "LITELLM_CONFIG": str(home / "litellm.yaml"),
            "COMPOSE_PROJECT_NAME": f"loci-test-{secrets.token_hex(4)}", "COMPOSE_PROFILES": "chat,metrics",
            "NODE_EXPORTER_IMAGE": f"{STAND_INS}:exporter", "PROMETHEUS_IMAGE": f"{STAND_INS}:prometheus",
        }  # fmt: skip
        engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        self._command = ["docker", "compose"]
        if subprocess.run([*self._command, "version"], capture_output=True, check=False).returncode:
            socket = engine.removeprefix("unix://")
            names = [*self._given, *(name for name in os.environ if name.endswith("_IMAGE"))]
            # At the same paths, because the engine resolves what compose mounts.
            mounts = [f"--volume={path}:{path}:ro" for path in (ROOT, home)] + [f"--volume={socket}:{socket}"]
            self._command = [
                "docker", "run", "--rm", "--network=none", *mounts, f"--env=DOCKER_HOST={engine}",
                *(f"--env={name}" for name in names), f"{STAND_INS}:compose",
            ]  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, "--file", str(ROOT / "docker/compose.yaml"), *arguments],
            env={**os.environ, **self._given}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{self.logs() if arguments[0] == 'up' else ''}"
        return done.stdout

    def logs(self) -> str:
        return self("logs", "--no-color", "--tail", "40")

    def dsn(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.ports['LOCI_PORT']}/loci"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ports['LOCI_SHIM_PORT']}{path}"

    def keys(self) -> str:
        """Of all that was made for each other; nothing that anybody could use."""
        return self(
            "run", "--rm", "--no-deps", "--no-TTY", "--entrypoint=sha256sum", "setup-chat",
            "/keys/shim/turns_dsn", "/keys/shim/decisions_dsn", "/keys/shim/gateway_key", "/keys/database/gateway_key",
            "/keys/database/jwt_key", "/keys/litellm/gateway_key",
        )  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("compose"))
    try:
        stack("up", "--no-build", "--detach", *SERVICES)
        wait_until(lambda: not unhealthy(stack), "all services are well", timeout=240)
        yield stack
    finally:
        stack("down", "--volumes", "--timeout", "20")


def unhealthy(stack: Stack) -> list[str]:
    found = [json.loads(line) for line in stack("ps", "--all", "--format", "json").splitlines()]
    services = {each["Service"]: each for each in found}
    assert set(services) == {*SERVICES, "setup-chat", "setup-metrics"}
    return [
        name
        for name in SERVICES
        if services[name]["State"] != "running" or services[name]["Health"] not in ("", "healthy")
    ]


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(stack.dsn(), autocommit=True) as connection:
        connection.execute("insert into loci.users (email) values ('me@example.org')")
        connection.execute(
            "insert into loci.documents (scope_id, content, title) select user_id, %s, 'House' from loci.users",
            ("The spare key hangs behind the clock in the hall.",),
        )
        connection.execute("call loci.drain()")
        yield connection


def test_a_question_goes_all_the_way(stack: Stack, admin: psycopg.Connection[Any]) -> None:
    token = stack(
        "exec", "--no-TTY", "database", "/opt/loci/venv/bin/python", "-c",
        "import jwt, time; print(jwt.encode({'sub': 'me@example.org', 'exp': time.time() + 3600}, "
        "open('/run/loci/jwt_key').read(), 'HS256'))",
    ).strip()  # fmt: skip
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        conversation = http.post(stack.url("/v1/conversations")).json()["conversation_id"]
        answer = http.post(
            stack.url(f"/v1/conversations/{conversation}/messages"), json={"content": "Where is the spare key?"}
        ).json()
        assert answer["content"] == ANSWER, answer
        assert answer["citations"][0]["title"] == "House"
    # Without the shim the database asks the same gateway, with the same key.
    asked = 'select loci.complete(\'[{"role": "user", "content": "Hello"}]\') ->> \'content\''
    assert admin.execute(asked).fetchone() == (ANSWER,)


def test_figures_reach_prometheus(stack: Stack, admin: psycopg.Connection[Any]) -> None:
    def value(query: str) -> str | None:
        url = f"http://127.0.0.1:{stack.ports['PROMETHEUS_PORT']}/api/v1/query"
        found = httpx.get(url, params={"query": query}).json()["data"]["result"]
        return str(found[0]["value"][1]) if found else None

    wait_until(lambda: value("loci_up") == "1", "Prometheus has collected", timeout=90)
    assert value("sum(queue_depth)") is not None


def test_nothing_is_made_twice(stack: Stack, admin: psycopg.Connection[Any]) -> None:
    admin.execute("update loci.settings set value = 'mine' where name = 'chat_model'")
    before = stack.keys()
    stack("up", "--no-build", "--detach", *SERVICES)
    wait_until(lambda: not unhealthy(stack), "all services are well", timeout=120)
    assert stack.keys() == before
    assert admin.execute("select value from loci.settings where name = 'chat_model'").fetchone() == ("mine",)


def test_no_password_in_the_log(stack: Stack) -> None:
    logs = stack("logs", "--no-color")
    dsn = stack("exec", "--no-TTY", "shim", "cat", "/run/loci/turns_dsn")
    assert "first start: making database" in logs
    assert stack.password not in logs
    assert psycopg.conninfo.conninfo_to_dict(dsn)["password"] not in logs
