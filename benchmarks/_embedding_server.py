"""An OpenAI-compatible embedding server that costs next to nothing: what is measured beside it is the database.

``python -m benchmarks._embedding_server PORT DIMENSIONS LATENCY_SECONDS``; prints a line when it listens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
import sys


def _pool(dimensions: int, size: int = 512) -> list[str]:
    rng = random.Random(1)
    return [
        base64.b64encode(struct.pack(f"<{dimensions}f", *(rng.gauss(0, 1) for _ in range(dimensions)))).decode()
        for _ in range(size)
    ]


async def serve(port: int, dimensions: int, latency: float) -> None:
    """Answer POST /v1/embeddings after so many seconds, with vectors from a pool made once."""
    pool = _pool(dimensions)
    items = [f'"object":"embedding","embedding":"{vector}"' for vector in pool]

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                texts = json.loads(await reader.readexactly(length))["input"]
                await asyncio.sleep(latency)
                data = ",".join(
                    f'{{"index":{index},{items[hash(text) % len(items)]}}}' for index, text in enumerate(texts)
                )
                body = f'{{"object":"list","data":[{data}],"usage":{{"total_tokens":{len(texts)}}}}}'.encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", port, limit=1 << 20)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
