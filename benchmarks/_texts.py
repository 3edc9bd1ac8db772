"""Texts whose words are as common as words of a language are, questions about them, and chunks made of them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import psycopg

from benchmarks._pipeline import one

_VOCABULARY = 60_000
KINDS = ("8 words of a text", "6 common words", "4 rare words", "a phrase")


class Texts:
    """So many texts of 20 to 250 words (Zipf)."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        words = list(
            dict.fromkeys("".join(self._rng.choices(syllables, k=self._rng.randint(2, 4))) + "x" for _ in range(_VOCABULARY))
        )  # fmt: skip
        weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(words))))
        self._rank = {word: place for place, word in enumerate(words)}
        self.texts = [
            " ".join(self._rng.choices(words, cum_weights=weights, k=self._rng.randint(20, 250))) for _ in range(count)
        ]

    def questions(self, kind: str, count: int) -> list[str]:
        """Questions made of words of one text, so that there is something to find; no two alike, as far as there are so many."""
        found: dict[str, None] = {}
        for _ in range(20 * count):
            found[self._question(kind)] = None
            if len(found) == count:
                break
        return list(found)

    def _question(self, kind: str) -> str:
        words = self._rng.choice(self.texts).split()
        by_rank = sorted(set(words), key=self._rank.__getitem__)
        chosen = {
            "8 words of a text": lambda: self._rng.sample(words, min(8, len(words))),
            "6 common words": lambda: by_rank[:6],
            "4 rare words": lambda: by_rank[-4:],
            "a phrase": lambda: words[3:6],
        }[kind]()
        return f'"{" ".join(chosen)}"' if kind == "a phrase" else " ".join(chosen)


def fill(connection: psycopg.Connection[Any], texts: list[str]) -> tuple[Any, Any]:
    """Chunks written straight into their table, their words counted; ids of the user who sees them all, and of their scope."""
    user = one(connection, "insert into loci.users (email) values ('bench@example.org') returning user_id")
    scope = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    connection.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", (scope, user)
    )
    connection.execute("create temporary table sample (n integer, content text)")
    with connection.cursor() as cursor, cursor.copy("copy sample from stdin") as copy:
        for row in enumerate(texts):
            copy.write_row(row)
    connection.execute(
        "insert into loci_private.source_rows "
        "(source_id, key, version, placed_version, organization_id, scope_id, updated_at) "
        "select s.source_id, t.n::text, 0, 0, %s, %s, now() from sample as t, loci_private.sources as s where s.name = 'documents'",
        (scope, scope),
    )
    connection.execute(
        "insert into loci_private.chunks (row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, "
        "text_hash, token_count, lexemes, created_at, updated_at) "
        "select r.row_id, r.source_id, (select c.active_chunking from loci_private.chunking_assignments as c "
        "where c.source_id = r.source_id limit 1), r.organization_id, r.scope_id, 0, t.content, sha256(convert_to(t.content, 'UTF8')), "
        "100, loci_private.lexemes_of('english', null, t.content), now(), now() "
        "from sample as t join loci_private.source_rows as r on r.key = t.n::text"
    )
    connection.execute("insert into loci_private.text_changes (scope_id, chunks) values (%s, %s)", (scope, len(texts)))
    connection.execute("select loci_private.count_words()")
    for table in ("chunks", "source_rows", "word_counts", "text_statistics"):
        connection.execute(f"vacuum analyze loci_private.{table}".encode())
    return user, scope
