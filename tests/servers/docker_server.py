"""A database server in a container of Loci's image, for tests."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

# Its helper image may not be to be had. Containers are removed by stop-at-exit below and, where even that could
# not run, by their label (docker/test-docker.sh).
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

import docker.errors
import psycopg
from testcontainers.core.container import DockerContainer, ExecConfig

RUN_LABEL = "loci.test.run"
JWT_KEY = "a key for tests that is longer than 32 bytes"
# Nothing here outlives its test: no write has to reach a disk.
FAST = {"max_connections": "200", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def run_labels() -> dict[str, str]:
    """The labels of everything that a test run makes in the engine."""
    return {RUN_LABEL: os.environ.get("LOCI_TEST_RUN", str(os.getpid()))}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class DockerServer:
    """The same interface as the server that tests run on the host.

    start() and kill() may follow each other as often as a test likes: the data stay, the port too.
    """

    user = "postgres"

    def __init__(
        self,
        image: str,
        *,
        settings: Mapping[str, str] = FAST,
        environment: Mapping[str, str] | None = None,
        shm_size: str = "256m",
        volume: str | None = None,
        **create: Any,
    ) -> None:
        self.image = image
        self.password = secrets.token_urlsafe(24)
        self.port = free_port()
        self._settings = dict(settings)
        self._environment = (
            {"POSTGRES_PASSWORD": self.password, "LOCI_TEST_JWT_KEY": JWT_KEY}
            if environment is None
            else dict(environment)
        )
        self._volume = volume
        self._create = {"shm_size": shm_size, "labels": run_labels(), **create}
        self._container: DockerContainer | None = None

    @property
    def container(self) -> DockerContainer:
        if self._container is None:
            raise RuntimeError("the server was never started")
        return self._container

    def launch(self) -> None:
        """Create or start the container, and don't wait for the server in it."""
        if self._container is not None:
            self._container.get_wrapped_container().start()
            return
        atexit.register(self.remove)
        while True:
            container = DockerContainer(self.image).with_envs(**self._environment).with_kwargs(**self._create)
            # A port of our choice, because a port of the engine's choice is another one after each start.
            container.ports["5432"] = ("127.0.0.1", self.port)  # type: ignore[assignment]
            if self._settings:
                container.with_command(
                    ["postgres", *(a for k, v in self._settings.items() for a in ("-c", f"{k}={v}"))]
                )
            if self._volume:
                container.with_volume_mapping(self._volume, "/var/lib/postgresql/data", "rw")
            self._container = container
            try:
                container.start()
                return
            except docker.errors.APIError as error:
                self._remove_container()
                if "port is already allocated" not in str(error) and "address already in use" not in str(error):
                    raise
                self.port = free_port()  # somebody was faster

    def start(self, timeout: float = 120) -> None:
        self.launch()
        self.wait(timeout)

    def wait(self, timeout: float = 120) -> None:
        """Wait until a client can work with the migrated database."""
        until = time.monotonic() + timeout
        while True:
            try:
                with psycopg.connect(self.dsn(), connect_timeout=5):
                    return
            except psycopg.OperationalError as error:
                if not self.is_running():
                    raise RuntimeError(f"the server ended while starting:\n{self.logs()}") from error
                if time.monotonic() > until:
                    raise RuntimeError(f"no connection after {timeout} s: {error}\n{self.logs()}") from error
            time.sleep(0.05)

    def stop(self, timeout: int = 60) -> None:
        """Shut down cleanly and keep the data; remove() takes them away, at the latest when Python exits."""
        self.container.get_wrapped_container().stop(timeout=timeout)

    def kill(self) -> None:
        """SIGKILL for the postmaster, which takes every process of the container with it."""
        container = self.container.get_wrapped_container()
        container.kill("SIGKILL")
        container.wait()

    def remove(self) -> None:
        """Remove the container and its data (a volume that was passed in stays)."""
        atexit.unregister(self.remove)
        self._remove_container()

    def _remove_container(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(docker.errors.NotFound):
                container.stop(force=True, delete_volume=True)

    def dsn(self, dbname: str = "loci") -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{dbname}"

    def put_file(self, path: str, content: bytes) -> None:
        """Write a file that the server can read."""
        self.container.copy_into_container(content, path, mode=0o644)

    def run(self, cmd: Sequence[str]) -> str:
        """Run a command beside the server, as the user it runs as, and return what it printed."""
        result = self.container.exec(ExecConfig(list(cmd), user="postgres"))
        output = result.output.decode(errors="replace")
        if result.exit_code != 0:
            raise RuntimeError(f"exit code {result.exit_code} from {list(cmd)}: {output}")
        return output

    def logs(self) -> str:
        return str(self.container.get_wrapped_container().logs().decode(errors="replace"))

    def is_running(self) -> bool:
        container = self.container.get_wrapped_container()
        container.reload()
        return bool(container.status == "running")

    def __enter__(self) -> DockerServer:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
