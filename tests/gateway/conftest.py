"""The fault-injecting endpoint, reachable from where the database runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.gateway.fault_server import FaultServer


@pytest.fixture(scope="session")
def file_on_server(container: Any) -> Iterator[Callable[[str], str]]:
    """Write a file that the database server can read; its path there."""
    made: list[str] = []

    def write(content: str) -> str:
        if container is None:
            path = f"{os.environ['LOCI_TEST_HOME']}/{uuid4()}.key"
            Path(path).write_text(content)
            Path(path).chmod(0o644)
        else:
            path = f"/tmp/{uuid4()}.key"
            container.exec_run(["sh", "-c", f"umask 022; printf %s '{content}' > {path}"])
        made.append(path)
        return path

    yield write
    for path in made:
        if container is None:
            Path(path).unlink(missing_ok=True)
        else:
            container.exec_run(["rm", "-f", path])


@pytest.fixture
def new_fault_server(host_address: str, listen_address: str) -> Iterator[Callable[..., FaultServer]]:
    """Start another one; it ends with the test."""
    servers: list[FaultServer] = []

    def start(**arguments: object) -> FaultServer:
        server = FaultServer(listen=listen_address, reached_as=host_address, **arguments)  # type: ignore[arg-type]
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def fault_server(new_fault_server: Callable[..., FaultServer]) -> FaultServer:
    """base_url: where the database finds it."""
    return new_fault_server()
