"""What every embedding provider has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from loci_udfs.errors import LociError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loci_udfs.gateway import GatewayError

    Vectors = NDArray[np.float32]

Kind = Literal["query", "passage"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One row of loci.embedding_models. max_tokens: limit of one text; max_batch: texts a request."""

    model_id: int
    name: str
    provider: str
    dimensions: int
    query_prefix: str = ""
    passage_prefix: str = ""
    max_tokens: int = 8191
    max_batch: int = 100
    tokenizer: str = "cl100k"
    gateway: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Outcome:
    """What became of several texts, by position. Those in neither mapping are not to blame and can be tried again.

    stopped: why the gateway is to be left alone, if it is. tokens, cost_usd: as the provider counted them; requests: how
    many were made.
    """

    vectors: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, LociError] = field(default_factory=dict)
    stopped: GatewayError | None = None
    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class Provider(Protocol):
    def embed(self, texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None]) -> Vectors:
        """Vectors of texts: float32, shape (len(texts), model.dimensions), each of length 1.

        checkpoint() is called at least once a second; whatever it raises ends the call.
        Raises LC230 for a passage over the model's limit, LC235 for a text without content,
        LC236 for a model the provider cannot serve.
        """
        ...


def check_texts(texts: Sequence[str], kind: Kind) -> None:
    """Raise LC235 if a text has nothing but white space: its vector would mean nothing."""
    for position, text in enumerate(texts):
        if not text or text.isspace():
            raise LociError(
                "empty query" if kind == "query" else "empty text",
                detail=f"Text {position + 1} of {len(texts)} has no content to embed.",
                sqlstate="LC235",
            )


def check_vectors(vectors: Any, count: int, dimensions: int) -> Vectors:
    """vectors as float32 of shape (count, dimensions), each of length 1.

    vectors: array or sequence of sequences of numbers, as a provider or gateway returned it.
    Raises LC231 for a wrong number of vectors, LC232 for a wrong dimension or something that is no
    number, LC233 for NaN or infinity, LC234 for a vector of zeros.
    """
    import numpy as np

    if len(vectors) != count:
        raise LociError(
            "wrong number of embeddings",
            detail=f"Expected {count}, got {len(vectors)}.",
            sqlstate="LC231",
        )
    if count == 0:
        return np.zeros((0, dimensions), dtype=np.float32)
    hint = "Compare the dimensions of the model in loci.embedding_models with what its endpoint returns."
    try:
        array = np.asarray(vectors)
        if array.dtype.kind not in "fiu":
            raise ValueError
        # In double precision, so that the length of an extreme vector neither overflows nor vanishes.
        array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise LociError(
            "embeddings are not vectors of numbers",
            detail=_describe(vectors, dimensions),
            hint=hint,
            sqlstate="LC232",
        ) from None
    if array.shape != (count, dimensions):
        found = array.shape[1] if array.ndim == 2 else f"an array of shape {array.shape}"
        raise LociError(
            "wrong dimension of an embedding",
            detail=f"Expected {dimensions}, got {found}.",
            hint=hint,
            sqlstate="LC232",
        )
    largest = np.abs(array).max(axis=1)
    bad = np.flatnonzero(~np.isfinite(largest))
    if len(bad):
        raise LociError(
            "embedding with NaN or infinity",
            detail=f"Vector {int(bad[0]) + 1} of {count} has an element that is not a finite number.",
            sqlstate="LC233",
        )
    bad = np.flatnonzero(largest == 0.0)
    if len(bad):
        raise LociError(
            "embedding of zeros only",
            detail=f"Vector {int(bad[0]) + 1} of {count} has length 0 and so no direction.",
            sqlstate="LC234",
        )
    array /= largest[:, None]
    array /= np.sqrt(np.einsum("ij,ij->i", array, array))[:, None]
    return array.astype(np.float32)


def _describe(vectors: Any, dimensions: int) -> str:
    for position, vector in enumerate(vectors):
        try:
            length = len(vector)
        except TypeError:
            return f"Item {position + 1} of {len(vectors)} is no vector."
        if length != dimensions:
            return f"Vector {position + 1} of {len(vectors)} has dimension {length} instead of {dimensions}."
    return "An element is not a number."


def format_vector(vector: Any) -> str:
    """pgvector's text form of one vector, '[0.1,-0.2]'.

    Six significant digits: a halfvec holds a little over three, a unit vector's vector-type
    similarity changes by less than 1e-6.
    """
    values = vector.tolist() if hasattr(vector, "tolist") else list(vector)
    return _pattern(len(values)) % tuple(values)


@lru_cache(maxsize=16)
def _pattern(dimensions: int) -> str:
    return "[" + ",".join(["%.6g"] * dimensions) + "]"
