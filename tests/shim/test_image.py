"""The image of the shim: it starts, says that it is well, answers, and ends properly.

docker/test-docker.sh builds the image and names it in LOCI_SHIM_IMAGE.
"""

from __future__ import annotations

import os

import httpx
import pytest

import docker
from tests.database import wait_until
from tests.gateway import fault_server as faults
from tests.servers.docker_server import run_labels
from tests.shim.conftest import KEY, World, free_port

IMAGE = os.environ.get("LOCI_SHIM_IMAGE", "")
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not IMAGE, reason="no image (LOCI_SHIM_IMAGE): docker/test-docker.sh builds one"),
]


def test_a_container(world: World) -> None:
    port = free_port()
    environment = {
        "LOCI_TURNS_DSN": world.db.dsn_as(world.agent), "LOCI_DECISIONS_DSN": world.db.dsn_as(world.desk),
        "LOCI_GATEWAY_URL": world.server.base_url, "LOCI_GATEWAY_KEY": KEY,
        "LOCI_SHIM_HOST": "127.0.0.1", "LOCI_SHIM_PORT": str(port), "LOCI_SHIM_CONNECTIONS": "1",
    }  # fmt: skip
    engine = docker.from_env()
    # As compose.yaml has it; the host's network, where database and gateway listen at the loopback address.
    container = engine.containers.run(
        IMAGE, detach=True, network_mode="host", read_only=True, environment=environment, labels=run_labels(),
        healthcheck={"interval": 300_000_000, "timeout": 5_000_000_000, "retries": 2, "start_period": 60_000_000_000},
    )  # fmt: skip
    try:

        def healthy() -> bool:
            container.reload()
            assert container.status in ("created", "running"), container.logs().decode()
            return bool(container.attrs["State"]["Health"]["Status"] == "healthy")

        wait_until(healthy, "the container is healthy", timeout=100)
        assert container.exec_run(["id", "-un"]).output == b"loci\n"
        world.server.then(faults.streams("It hangs behind the clock [1]."))
        url = f"http://127.0.0.1:{port}/v1/conversations/{world.conversation()}/messages"
        answer = httpx.post(
            url, json={"content": "Where is the spare key?"}, headers=world.headers(), timeout=60
        ).json()
        assert answer["status"] == "complete" and answer["citations"][0]["title"] == "House"
        container.stop(timeout=30)
        assert container.wait(timeout=30)["StatusCode"] == 0 and b'"stopped"' in container.logs()
    finally:
        container.remove(force=True, v=True)
        engine.close()
