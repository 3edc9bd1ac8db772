"""An OpenAI-compatible chat that streams and costs little: what is measured beside it is the shim.

``python -m benchmarks._chat_server FIRST_SECONDS PIECES PAUSE_SECONDS``; prints its port when it listens.
"""

from __future__ import annotations

import asyncio
import json
import sys


def _event(data: object) -> bytes:
    line = b"data: %s\n\n" % (data if isinstance(data, bytes) else json.dumps(data).encode())
    return b"%x\r\n%s\r\n" % (len(line), line)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]})


async def serve(first: float, pieces: int, pause: float) -> None:
    """Answer every POST with so many pieces, the first after `first` seconds, the others `pause` apart."""
    piece, last = _chunk({"content": "word "}), _chunk({}, "stop")
    usage = {"prompt_tokens": 100, "completion_tokens": pieces, "total_tokens": 100 + pieces}
    end = _event(
        {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [], "usage": usage}
    )

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                await reader.readexactly(next(int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length")))
                await asyncio.sleep(first)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + piece
                )
                for _ in range(pieces - 1):
                    await asyncio.sleep(pause)
                    writer.write(piece)
                    await writer.drain()
                writer.write(last + end + _event(b"[DONE]") + b"0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, limit=1 << 20, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
