"""Embedding providers, found by name and imported when first used."""

from __future__ import annotations

import importlib
from typing import cast

from loci_udfs.db import Db
from loci_udfs.errors import LociError
from loci_udfs.providers.base import Provider

# Name of the provider -> module with a function provider().
_MODULES = {
    "hash": "loci_udfs.providers.hash",
    "litellm": "loci_udfs.providers.litellm",
    "local": "loci_udfs.providers.local",
    "pgai": "loci_udfs.providers.pgai",
}
# These embed by SQL.
_IN_DATABASE = frozenset({"pgai"})


def get_provider(name: str, db: Db | None = None) -> Provider:
    """The provider called name. db: the session of one that embeds by SQL. Raises LC221 for a name that is not registered."""
    module = _MODULES.get(name)
    if module is None:
        raise LociError(
            "unknown embedding provider",
            detail=f"There is no provider {name!r}.",
            hint=f"Use one of {', '.join(sorted(_MODULES))}.",
            sqlstate="LC221",
        )
    make = importlib.import_module(module).provider
    return cast(Provider, make(db) if name in _IN_DATABASE else make())
