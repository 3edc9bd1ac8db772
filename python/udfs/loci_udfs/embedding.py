"""Texts to vectors, for the database: configuration in, pgvector's text form out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from loci_udfs.db import Db, entry
from loci_udfs.errors import LociError
from loci_udfs.providers import get_provider
from loci_udfs.providers.base import Kind, ModelConfig, Outcome, format_vector

_FIELDS = (
    "model_id",
    "name",
    "provider",
    "dimensions",
    "query_prefix",
    "passage_prefix",
    "max_tokens",
    "max_batch",
    "tokenizer",
    "gateway",
)
# No text would fare better: the model is not to be had.
_OF_THE_MODEL = frozenset({"LC220", "LC221", "LC236", "LC238"})


def model_config(model: dict[str, Any]) -> ModelConfig:
    """A row of loci.embedding_models with its gateway, as JSON gave it."""
    return ModelConfig(**{field: model[field] for field in _FIELDS})


def embed(
    texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None], db: Db | None = None
) -> list[str]:
    """Vectors of texts in their order, each in pgvector's text form. Errors: see Provider.embed. db: see get_provider."""
    vectors = get_provider(model.provider, db).embed(texts, kind, model, checkpoint)
    return [format_vector(vector) for vector in vectors]


def embed_each(
    texts: Sequence[str],
    kind: Kind,
    model: ModelConfig,
    checkpoint: Callable[[], None],
    permit: Callable[[], bool] | None = None,
    db: Db | None = None,
) -> Outcome:
    """Vectors of the texts that have one, errors of those that do not: one bad text spoils no other's.

    permit: asked before each request to a gateway; where it says no, the texts are left untried. db: see get_provider.
    Raises LociError where the model itself cannot be had.
    """
    provider = get_provider(model.provider, db)
    own = getattr(provider, "embed_each", None)
    if own is not None:
        return cast(Outcome, own(texts, kind, model, checkpoint, permit))
    outcome = Outcome()

    def halve(positions: range) -> None:
        try:
            vectors = provider.embed([texts[position] for position in positions], kind, model, checkpoint)
        except LociError as error:
            if error.sqlstate in _OF_THE_MODEL:
                raise
            if len(positions) == 1:
                outcome.errors[positions[0]] = error
            else:
                halve(positions[: len(positions) // 2])
                halve(positions[len(positions) // 2 :])
        else:
            outcome.vectors.update(zip(positions, vectors, strict=True))

    if texts:
        halve(range(len(texts)))
    return outcome


@entry
def embed_texts(db: Db, texts: list[str] | None, model: str, kind: str) -> list[str]:
    """Vectors of texts for loci.embed() and search. model: loci_private.model_config() as JSON text."""
    return embed(texts or [], cast(Kind, kind), model_config(json.loads(model)), db.checkpoint, db)


@entry
def check_model(db: Db, model: str) -> list[dict[str, Any]]:
    """One text through the provider: how long it took, how many dimensions came, what went wrong."""
    config = model_config(json.loads(model))
    started = time.perf_counter()
    found: dict[str, Any] = {"dimensions": None, "ok": False, "error": None}
    try:
        # What is loaded once a session is not the model's time.
        provider = get_provider(config.provider, db)
        started = time.perf_counter()
        found["dimensions"] = len(provider.embed(["Is anybody there?"], "passage", config, db.checkpoint)[0])
        found["ok"] = True
    except LociError as error:
        found["error"] = " ".join(
            part for part in (f"{error.sqlstate}: {error.message}.", error.detail, error.hint) if part
        )
    return [{"latency_ms": (time.perf_counter() - started) * 1000, **found}]
