"""Deterministic vectors from hashed n-grams: tests, fixtures, and use without any model.

Signed feature hashing (Weinberger et al., 2009): every word, pair of neighbouring words and
character n-gram adds +1 or -1, times a weight, to one element. Similar wording gives similar
vectors; meaning plays no part. The same text gives the same vector on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from loci_udfs.errors import LociError
from loci_udfs.providers.base import Kind, ModelConfig, check_texts, check_vectors
from loci_udfs.tokens import encodable

if TYPE_CHECKING:
    from loci_udfs.providers.base import Vectors

MIN_DIMENSIONS = 8
MAX_DIMENSIONS = 4000

# Scripts without spaces come as one long run, so words end at 32 characters; other symbols count singly.
_WORD = re.compile(r"\w{1,32}|[^\w\s]")
_WORD_WEIGHT = 1.0
_PAIR_WEIGHT = 0.5
_PART_WEIGHT = 0.35
_MOST_CACHED_WORDS = 20_000
_BETWEEN_CHECKPOINTS = 128


def provider() -> HashProvider:
    return _provider


class HashProvider:
    """Query and passage are treated alike, and the model's prefixes are not used."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[int, Any]] = {}

    def embed(self, texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None]) -> Vectors:
        import numpy as np

        dimensions = model.dimensions
        if not MIN_DIMENSIONS <= dimensions <= MAX_DIMENSIONS:
            raise LociError(
                "the hash provider cannot serve this dimension",
                detail=f"Model {model.name!r} is set to {dimensions} dimensions.",
                hint=f"Use {MIN_DIMENSIONS} to {MAX_DIMENSIONS}.",
                sqlstate="LC236",
            )
        check_texts(texts, kind)
        vectors = np.zeros((len(texts), dimensions))
        for position, text in enumerate(texts):
            if position % _BETWEEN_CHECKPOINTS == 0:
                checkpoint()
            vectors[position] = self._embed_one(text, dimensions)
        return check_vectors(vectors, len(texts), dimensions)

    def _embed_one(self, text: str, dimensions: int) -> Any:
        import numpy as np

        words = _WORD.findall(unicodedata.normalize("NFKC", encodable(text)).lower()) or [text]
        features = [self._features(word) for word in words]
        word_hashes = np.array([feature[0] for feature in features], dtype=np.uint64)
        parts = np.concatenate([feature[1] for feature in features])
        pairs = word_hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) + word_hashes[1:]
        pairs ^= pairs >> np.uint64(29)
        hashes = np.concatenate((word_hashes, pairs, parts))
        weights = np.repeat((_WORD_WEIGHT, _PAIR_WEIGHT, _PART_WEIGHT), (len(word_hashes), len(pairs), len(parts)))
        # The top bit is the sign, the others choose the element.
        np.negative(weights, out=weights, where=hashes >> np.uint64(63) == 1)
        elements = (hashes & np.uint64(0x7FFFFFFFFFFFFFFF)) % np.uint64(dimensions)
        vector = np.bincount(elements.astype(np.intp), weights=weights, minlength=dimensions)
        # A word said ten times is not ten times as telling.
        vector = np.sign(vector) * np.sqrt(np.abs(vector))
        if not vector.any():
            vector[int(elements[0])] = 1.0
        return vector

    def _features(self, word: str) -> tuple[int, Any]:
        """Hash of the word, and of the parts of it, as uint64."""
        import numpy as np

        known = self._words.get(word)
        if known is None:
            # Two characters of a script like Han say as much as three letters.
            size = 2 if word[0] >= "\u2e80" else 3
            marked = f"<{word}>"
            parts = [marked[i : i + size] for i in range(len(marked) - size + 1)]
            known = (_hash("w" + word), np.array([_hash("p" + part) for part in parts], dtype=np.uint64))
            if len(self._words) >= _MOST_CACHED_WORDS:
                self._words.clear()
            self._words[word] = known
        return known


def _hash(feature: str) -> int:
    return int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")


_provider = HashProvider()
