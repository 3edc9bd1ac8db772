"""Embeddings from an OpenAI-compatible gateway: many requests in flight, a bad text found among good ones."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from loci_udfs.errors import LociError
from loci_udfs.gateway import Answer, Client, Gateway, GatewayError, NotSent, gather, run
from loci_udfs.gateway import Kind as Failure
from loci_udfs.providers.base import Kind, ModelConfig, Outcome, check_vectors
from loci_udfs.tokens import encodable, get_tokenizer

if TYPE_CHECKING:
    from loci_udfs.providers.base import Vectors

# OpenAI's limit for the sum of all texts of a request.
_TOKENS_A_REQUEST = 300_000
# What a tokenizer may add to a text.
_MARKS = 8
# Room for an answer: JSON around the vectors, and a number written out at its longest.
_BYTES_OF_JSON = 1024 * 1024
_BYTES_OF_NUMBER = 32
# A request that any gateway in order answers, and at once.
_CONTROL_TEXT = "Loci"
_CONTROL_SECONDS = 5.0
# A request that fails is divided into so many.
_PARTS = 10


def provider() -> LitellmProvider:
    return LitellmProvider()


class LitellmProvider:
    """The model's prefixes are put before each text; its name is what the gateway knows it by."""

    def embed(self, texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None]) -> Vectors:
        """All or nothing: the first failure is raised. A query over model.max_tokens is cut to it."""
        outcome = _Embedding(texts, kind, model, isolate=False).run(checkpoint)
        for error in outcome.errors.values():
            raise error
        if outcome.stopped is not None:
            raise outcome.stopped
        return check_vectors([outcome.vectors[n] for n in range(len(texts))], len(texts), model.dimensions)

    def embed_each(
        self,
        texts: Sequence[str],
        kind: Kind,
        model: ModelConfig,
        checkpoint: Callable[[], None],
        permit: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Requests of at most model.max_batch texts side by side. A text over model.max_tokens fails by itself (LC230)."""
        return _Embedding(texts, kind, model, permit=permit).run(checkpoint)


class _Embedding:
    """Texts on their way to vectors.

    A request fails because of its texts or because of the gateway, and often its answer does not tell. So the same gateway
    is asked for something harmless: if it cannot do that either, it is left alone and no text is to blame; if it can, the
    request is divided until the guilty text stands alone.
    """

    def __init__(
        self,
        texts: Sequence[str],
        kind: Kind,
        model: ModelConfig,
        *,
        permit: Callable[[], bool] | None = None,
        isolate: bool = True,
    ) -> None:
        prefix = model.query_prefix if kind == "query" else model.passage_prefix
        self._texts = [prefix + encodable(text) for text in texts]
        self._control_text = prefix + _CONTROL_TEXT
        self._model = model
        self._permit = permit
        self._isolate = isolate
        self._outcome = Outcome()
        sizes = self._sizes()
        fitting = []
        for position, text in enumerate(texts):
            if kind == "query" and sizes[position] > model.max_tokens:
                self._texts[position], sizes[position] = _cut(self._texts[position], sizes[position], model)
            if not text or text.isspace():
                self._outcome.errors[position] = LociError(
                    "empty query" if kind == "query" else "empty text", sqlstate="LC235"
                )
            elif sizes[position] > model.max_tokens:
                self._outcome.errors[position] = LociError(
                    "text too long for the model",
                    detail=f"It has {sizes[position]} tokens, the limit is {model.max_tokens}.",
                    hint="Use smaller chunks for this source, or a model with a higher limit.",
                    sqlstate="LC230",
                )
            else:
                fitting.append(position)
        self._requests = _requests(fitting, sizes, model.max_batch)
        self._client: Client
        self._asking: asyncio.Lock

    def _sizes(self) -> list[int]:
        """Tokens of each text; bytes, which are never fewer, where even they are within all limits."""
        sizes = [len(text.encode()) + _MARKS for text in self._texts]
        if max(sizes, default=0) > self._model.max_tokens or sum(sizes) > _TOKENS_A_REQUEST:
            # Loading it takes a second: a session that only asks a question is spared that.
            tokenizer = get_tokenizer(self._model.tokenizer)
            sizes = [tokenizer.count(text) for text in self._texts]
        return sizes

    def run(self, checkpoint: Callable[[], None]) -> Outcome:
        if self._requests and (self._isolate or not self._outcome.errors):
            run(self._run, checkpoint)
        return self._outcome

    async def _run(self) -> None:
        try:
            client = Client(
                Gateway(**(self._model.gateway or {"gateway": "default", "base_url": None})),
                largest_answer=_BYTES_OF_JSON
                + max(map(len, self._requests)) * self._model.dimensions * _BYTES_OF_NUMBER,
                permit=self._may_send,
            )
        except GatewayError as error:
            self._outcome.stopped = error
            return
        async with client:
            self._client = client
            self._asking = asyncio.Lock()
            await gather(self._embed(positions) for positions in self._requests)

    def _may_send(self) -> bool:
        if self._outcome.stopped is not None or (self._permit is not None and not self._permit()):
            return False
        self._outcome.requests += 1
        return True

    async def _embed(self, positions: list[int]) -> None:
        try:
            vectors = await self._request([self._texts[position] for position in positions])
        except NotSent:
            return
        except LociError as error:
            await self._failed(positions, error)
            return
        self._outcome.vectors.update(zip(positions, vectors, strict=True))

    async def _request(self, texts: list[str], timeout: float | None = None) -> Vectors:
        answer = await self._client.post(
            "/embeddings",
            {"model": self._model.name, "input": texts, "encoding_format": "base64"},
            private=texts,
            timeout=timeout,
        )
        self._count(answer)
        return check_vectors(_vectors(answer.body, len(texts)), len(texts), self._model.dimensions)

    async def _failed(self, positions: list[int], error: LociError) -> None:
        if not self._isolate or (isinstance(error, GatewayError) and error.kind == "overloaded"):
            self._stop(error)
        elif await self._serves_others(error):
            if len(positions) == 1:
                self._outcome.errors[positions[0]] = error
            else:
                size = -(-len(positions) // _PARTS)
                await gather(self._embed(positions[start : start + size]) for start in range(0, len(positions), size))

    async def _serves_others(self, error: LociError) -> bool:
        """Whether this failure is the texts'. If it is the gateway's, everything is stopped."""
        async with self._asking:
            if self._outcome.stopped is not None:
                return False
            try:
                await self._request([self._control_text], _CONTROL_SECONDS)
                return True
            except NotSent:
                # No time or no request is left to find out.
                if not self._outcome.vectors:
                    self._stop(error)
            except GatewayError as failure:
                self._stop(error if failure.kind == _kind(error) else failure)
            except LociError as failure:
                self._stop(failure)
            return False

    def _stop(self, error: LociError) -> None:
        if self._outcome.stopped is None:
            kind = _kind(error)
            self._outcome.stopped = GatewayError(
                # A gateway that rejects whatever it is sent is not set up for this.
                "misconfigured" if kind == "rejected" and self._isolate else kind,
                error.message,
                detail=error.detail,
                hint=error.hint,
                sqlstate=error.sqlstate,
                retry_after=error.retry_after if isinstance(error, GatewayError) else None,
            )

    def _count(self, answer: Answer) -> None:
        usage = answer.body.get("usage")
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        # What is added up in the database has to be a number there too.
        if isinstance(tokens, int) and 0 <= tokens < 1_000_000_000:
            self._outcome.tokens += tokens
        self._outcome.cost_usd += answer.cost_usd or 0.0


def _kind(error: LociError) -> Failure:
    """Whose failure it looks like."""
    return error.kind if isinstance(error, GatewayError) else "rejected"


def _cut(text: str, size: int, model: ModelConfig) -> tuple[str, int]:
    tokenizer = get_tokenizer(model.tokenizer)
    while size > model.max_tokens:
        text = text[: min(len(text) - 1, max(1, len(text) * model.max_tokens // size))]
        size = tokenizer.count(text)
    return text, size


def _requests(positions: Sequence[int], sizes: Sequence[int], most: int) -> list[list[int]]:
    requests: list[list[int]] = []
    tokens = 0
    for position in positions:
        if not requests or len(requests[-1]) >= most or tokens + sizes[position] > _TOKENS_A_REQUEST:
            requests.append([])
            tokens = 0
        requests[-1].append(position)
        tokens += sizes[position]
    return requests


def _vectors(body: dict[str, Any], count: int) -> list[Any]:
    """The vectors of an answer in the order of what was sent; base64 of little-endian float32, or lists of numbers."""
    import numpy as np

    data = body.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise LociError("the answer holds no embeddings", detail="There is no list `data` in it.", sqlstate="LC231")
    indices = [item.get("index", n) for n, item in enumerate(data)]
    # A bool is an int to Python.
    if any(type(index) is not int for index in indices) or sorted(indices) != list(range(count)):
        raise LociError(
            "wrong number of embeddings",
            detail=f"Expected {count}, got {len(data)}, or their numbering is wrong.",
            sqlstate="LC231",
        )
    vectors: list[Any] = [None] * count
    for index, item in zip(indices, data, strict=True):
        embedding = item.get("embedding")
        if isinstance(embedding, str):
            try:
                embedding = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
            except ValueError:
                raise LociError(
                    "an embedding cannot be decoded",
                    detail="It is not base64 of float32.",
                    hint="Look at the endpoint: it is not compatible.",
                    sqlstate="LC232",
                ) from None
        if not isinstance(embedding, list | np.ndarray) or len(embedding) == 0:
            raise LociError("an embedding is missing", sqlstate="LC231")
        vectors[index] = embedding
    return vectors
