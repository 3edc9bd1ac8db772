"""The chat model of docs/tour.md and docs/streaming.md: a gateway that speaks OpenAI's protocol, without a model behind it.

    python3 python/tools/tour_gateway.py [--port 8099]

What it answers depends on nothing but the request: it knows what it is shown, and is told by the system prompt what to do
where it knows nothing. The same request has the same answer. It needs no package.
"""

from __future__ import annotations

import argparse
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# The one model that always fails; any other name answers.
OVERLOADED = "overloaded"
USD_PER_TOKEN = 0.000001

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_TOPICS = {"medicine": {"pill", "medicine", "dose", "fever"}, "politics": {"election", "party", "government"}}
# Words that say nothing of what a question is about.
_COMMON = re.split(
    r"\s",
    "a an and are at be became become been by can did do does for from has have how i in is it many me much my of on or "
    "our please that the there this to us was were what when where which who will with would you your",
)


def reply_to(request: dict[str, Any]) -> dict[str, Any]:
    """The assistant's message: what a model that follows its system prompt would say."""
    system = "\n".join(m["content"] for m in request["messages"] if m["role"] == "system")
    question = str(request["messages"][-1]["content"])
    words = _words(question)
    boundaries = re.search(r"^Boundaries: (.*)$", system, re.MULTILINE)
    for topic, marks in _TOPICS.items():
        if boundaries and topic in boundaries[1] and words & marks:
            return _says(f"I cannot help with {topic}; ask me about the harbour.")
    for tool in request.get("tools", []):
        function = tool["function"]
        if question.lower().startswith(function["name"].partition("_")[0]):
            call = {"name": function["name"], "arguments": json.dumps(_arguments(question, function["parameters"]))}
            return _says(
                "I propose this order. Please confirm or reject it.",
                tool_calls=[{"id": "call_1", "type": "function", "function": call}],
            )
    if not question.rstrip().endswith("?"):
        return _says("Noted.")
    found = [(_overlap(words, sentence), sentence + mark) for sentence, mark in _material(system)]
    share, answer = max(found, key=lambda candidate: candidate[0], default=(0.0, ""))
    if share > 0.5:
        return _says(answer)
    return _says("I do not know." if "say that you do not know" in " ".join(system.split()) else "Certainly, yes.")


def _says(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def _words(text: str) -> set[str]:
    """What a text is about: its words without plural, and without those that every text has."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z]+", text.lower()) if word not in _COMMON}


def _overlap(words: set[str], text: str) -> float:
    """The part of these words that a text has."""
    return len(words & _words(text)) / len(words) if words else 0.0


def _material(system: str) -> list[tuple[str, str]]:
    """Each thing that the prompt says, and the mark to cite it by."""
    found = [
        (line.removeprefix("- "), "")
        for name in ("actions", "memories")
        for line in _block(system, name).splitlines()
        if line.startswith("- ")
    ]
    for number, text in re.findall(
        r"^\[(\d+)\][^\n]*\n(.*?)(?=\n\n\[\d+\]|\Z)", _block(system, "passages"), re.M | re.S
    ):
        found += [(sentence.rstrip("."), f" [{number}].") for sentence in re.split(r"(?<=\.)\s+", text.strip())]
    return found


def _block(system: str, name: str) -> str:
    inside = re.search(rf"<{name}>\n(.*?)\n</{name}>", system, re.DOTALL)
    return inside[1] if inside else ""


def _arguments(question: str, schema: dict[str, Any]) -> dict[str, int]:
    """The numbers in a text, in their order, for the properties of a function, in theirs."""
    words = re.findall(r"\w+", question.lower())
    numbers = [
        _NUMBERS.index(word) if word in _NUMBERS else int(word)
        for word in words
        if word in _NUMBERS or word.isdecimal()
    ]
    return dict(zip(schema["properties"], numbers, strict=False))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/chat/completions"):
            self._answer(404, {"error": {"message": "only /v1/chat/completions is served"}})
        elif request["model"] == OVERLOADED:
            self._answer(500, {"error": {"message": "the model is overloaded"}})
        else:
            self._complete(request)

    def _complete(self, request: dict[str, Any]) -> None:
        message = reply_to(request)
        # About four characters are a token.
        asked, said = len(json.dumps(request["messages"])) // 4, len(json.dumps(message)) // 4
        answer = {
            "id": "chatcmpl-tour",
            "object": "chat.completion",
            "model": request["model"],
            "choices": [
                {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
            ],
            "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
        }
        if request.get("stream"):
            self._stream(answer)
        else:
            # As LiteLLM says what an answer cost.
            self._answer(200, answer, {"x-litellm-response-cost": f"{(asked + said) * USD_PER_TOKEN:.6f}"})

    def _stream(self, answer: dict[str, Any]) -> None:
        """The same answer, a few words at a time."""
        (choice,), usage = answer["choices"], answer["usage"]
        deltas: list[dict[str, Any]] = [
            {"content": piece} for piece in re.findall(r"(?:\S+\s*){1,3}", choice["message"]["content"])
        ]
        for index, call in enumerate(choice["message"].get("tool_calls", [])):
            deltas.append({"tool_calls": [{"index": index, **call}]})
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]})
        about = {"id": answer["id"], "object": "chat.completion.chunk", "model": answer["model"]}
        chunks: list[dict[str, Any]] = [{**about, "choices": [each]} for each in choices]
        # As LiteLLM does with include_cost_in_streaming_usage.
        chunks.append({**about, "choices": [], "usage": {**usage, "cost": usage["total_tokens"] * USD_PER_TOKEN}})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for data in [*map(json.dumps, chunks), "[DONE]"]:
            self.wfile.write(f"data: {data}\n\n".encode())

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing: what was asked is in loci.calls."""


def serve(host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server that listens; serve_forever() has it answer. port 0: one that is free."""
    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8099, help="port to listen at (8099)")
    arguments = parser.parse_args()
    with serve(arguments.host, arguments.port) as server:
        print(f"listening at http://{arguments.host}:{server.server_port}/v1; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
