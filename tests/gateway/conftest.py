"""The fault-injecting endpoint, reachable from where the database runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from tests.gateway.fault_server import FaultServer


@pytest.fixture(scope="session")
def host_address(request: pytest.FixtureRequest) -> str:
    """Address of this host as the database server sees it."""
    if request.config.getoption("--server") != "docker":
        return "127.0.0.1"
    import docker

    container = docker.from_env().containers.get(json.loads(os.environ["LOCI_TEST_DOCKER"])["container"])
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    return next(network["Gateway"] for network in networks if network["Gateway"])


@pytest.fixture(scope="session")
def listen_address(host_address: str) -> str:
    return "127.0.0.1" if host_address == "127.0.0.1" else "0.0.0.0"


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
