"""Embedding providers, found by name and imported when first used."""

from __future__ import annotations

import importlib
from typing import cast

from loci_udfs.errors import LociError
from loci_udfs.providers.base import Provider

# Name of the provider -> module with a function provider().
_MODULES = {
    "hash": "loci_udfs.providers.hash",
    "local": "loci_udfs.providers.local",
}


def get_provider(name: str) -> Provider:
    """The provider called name. Raises LC221 for a name that is not registered."""
    module = _MODULES.get(name)
    if module is None:
        raise LociError(
            "unknown embedding provider",
            detail=f"There is no provider {name!r}.",
            hint=f"Use one of {', '.join(sorted(_MODULES))}.",
            sqlstate="LC221",
        )
    return cast(Provider, importlib.import_module(module).provider())
