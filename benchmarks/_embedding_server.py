"""An OpenAI-compatible server of embeddings and short chats that costs little: what is measured beside it is the database.

``python -m benchmarks._embedding_server PORT DIMENSIONS LATENCY_SECONDS``; prints a line when it listens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def vector_of(text: str, dimensions: int) -> NDArray[np.float32]:
    """A vector of length 1 for this text: always the same, of no other text, in no relation to its meaning.

    An index holds equal vectors in one place, and would be measured with fewer rows than it seems to have.
    """
    vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(dimensions, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def _answer(texts: list[str], dimensions: int) -> bytes:
    data = ",".join(
        f'{{"object":"embedding","index":{index},'
        f'"embedding":"{base64.b64encode(vector_of(text, dimensions).astype("<f4").tobytes()).decode()}"}}'
        for index, text in enumerate(texts)
    )
    return f'{{"object":"list","data":[{data}],"usage":{{"total_tokens":{len(texts)}}}}}'.encode()


def _reply(request: dict[str, Any]) -> bytes:
    """Of a chat model: a cited sentence, or what a summary is to be made of, where that is asked for."""
    message: dict[str, Any] = {"role": "assistant", "content": "It was closed [1], and so was the one after it [2]."}
    if request.get("tools"):
        said = str(request["messages"][-1].get("content"))
        facts = {"summary": f"They spoke of {len(said)} letters.", "facts": [f"A fact of {zlib.crc32(said.encode())}."]}
        call = {"name": request["tools"][0]["function"]["name"], "arguments": json.dumps(facts)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": call}],
        }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(answer).encode()


async def serve(port: int, dimensions: int, latency: float) -> None:
    """Answer POST /v1/embeddings and /v1/chat/completions after so many seconds."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                request = json.loads(await reader.readexactly(length))
                await asyncio.sleep(latency)
                body = _answer(request["input"], dimensions) if "input" in request else _reply(request)
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
