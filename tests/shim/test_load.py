"""Two hundred streams at once: every piece of every one arrives, and is stored."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable

import httpx
import pytest

from tests.database import wait_until
from tests.gateway import fault_server as faults
from tests.shim.conftest import Client, World, token

STREAMS, PIECES = 200, 40


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost(new_client: Callable[..., Client], world: World, gate: threading.Event) -> None:
    """They all stand open together before any of them goes on. However slow the machine: none is refused for that."""
    client = new_client(shim_connection_seconds=250)
    conversations = [world.conversation() for _ in range(STREAMS)]
    for n in range(STREAMS):
        said = [f"{n}:{piece} " for piece in range(PIECES)]
        world.server.when(f"question {n}.", faults.streams(said[0], gate, *said[1:]))
    headers = {"Authorization": f"Bearer {token(world.people.ada)}"}

    async def ask(http: httpx.AsyncClient, n: int) -> str:
        text, name, last = "", "", ""
        url, body = f"/v1/conversations/{conversations[n]}/messages", {"content": f"question {n}.", "stream": True}
        async with http.stream("POST", url, json=body, headers=headers) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    last = name = line[7:]
                elif line.startswith("data: ") and name == "message":
                    text += json.loads(line[6:])["content"]
        assert last == "done"
        return text

    async def everybody() -> list[str]:
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(base_url=client.shim.url, timeout=250, limits=limits) as http:
            return await asyncio.gather(*(ask(http, n) for n in range(STREAMS)))

    def open_the_gate() -> None:
        wait_until(lambda: world.server.in_flight == STREAMS, "all stand open at once", timeout=250)
        gate.set()

    opener = threading.Thread(target=open_the_gate)
    opener.start()
    said = asyncio.run(everybody())
    opener.join()
    assert world.server.most_in_flight == STREAMS
    assert said == ["".join(f"{n}:{piece} " for piece in range(PIECES)) for n in range(STREAMS)]
    stored = world.db.rows(
        "select conversation_id, content from loci.messages where role = 'assistant' and status = 'complete'"
    )
    assert {row["conversation_id"]: row["content"] for row in stored} == dict(zip(conversations, said, strict=True))
    assert world.db.value("select count(*) from loci.calls where status = 'ok'") == STREAMS
