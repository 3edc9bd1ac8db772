"""Texts to vectors, for the database: configuration in, pgvector's text form out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from loci_udfs.db import Db, entry
from loci_udfs.providers import get_provider
from loci_udfs.providers.base import Kind, ModelConfig, format_vector

_FIELDS = ("model_id", "name", "provider", "dimensions", "query_prefix", "passage_prefix", "max_tokens", "max_batch")


def model_config(model: dict[str, Any]) -> ModelConfig:
    """A row of loci.embedding_models, as JSON gave it."""
    return ModelConfig(**{field: model[field] for field in _FIELDS})


def embed(texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None]) -> list[str]:
    """Vectors of texts in their order, each in pgvector's text form. Errors: see Provider.embed."""
    vectors = get_provider(model.provider).embed(texts, kind, model, checkpoint)
    return [format_vector(vector) for vector in vectors]


@entry
def embed_texts(db: Db, texts: list[str] | None, model: str, kind: str) -> list[str]:
    """Vectors of texts for loci.embed() and search. model: loci_private.model_config() as JSON text."""
    return embed(texts or [], cast(Kind, kind), model_config(json.loads(model)), db.checkpoint)
