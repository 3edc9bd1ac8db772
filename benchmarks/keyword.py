"""The full-text arm alone at 100,000 chunks, beside hand-written ts_rank over the same words.

Texts are words drawn as often as words are in a language (Zipf); questions are made of words of one text, so that there
is something to find. Chunks are written straight into their table: what is measured is the search.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median, percentile
from benchmarks._plots import bars, limit

K = 10
_VOCABULARY = 60_000


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--keyword-chunks", type=int, default=100000, help="chunks (100000)")
    parser.add_argument("--keyword-queries", type=int, default=200, help="questions of each kind (200)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    rng = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = list(dict.fromkeys("".join(rng.choices(syllables, k=rng.randint(2, 4))) + "x" for _ in range(_VOCABULARY)))
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(words))))
    texts = [
        " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(20, 250)))
        for _ in range(arguments.keyword_chunks)
    ]
    rank = {word: place for place, word in enumerate(words)}

    def question(choose: Callable[[list[str]], list[str]]) -> str:
        return " ".join(choose(rng.choice(texts).split()))

    def like(found: list[str]) -> list[str]:
        return rng.sample(found, min(8, len(found)))

    def common(found: list[str]) -> list[str]:
        return sorted(set(found), key=rank.__getitem__)[:6]

    def rare(found: list[str]) -> list[str]:
        return sorted(set(found), key=rank.__getitem__)[-4:]

    kinds = {
        kind: [question(choose) for _ in range(arguments.keyword_queries)]
        for kind, choose in (("8 words of a text", like), ("6 common words", common), ("4 rare words", rare))
    }
    kinds["a phrase"] = [f'"{" ".join(rng.choice(texts).split()[3:6])}"' for _ in range(arguments.keyword_queries)]
    rows: list[Sequence[str | float | int]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        user, scope = _fill(connection, texts)
        search = f"select chunk_id from loci.search(%s, k => {K}, mode => 'keyword')"
        by_hand = (
            "select chunk_id from loci_private.chunks, "
            "(select string_agg(quote_literal(l.lexeme), ' | ')::tsquery as query from unnest(to_tsvector('english', %s)) as l) as q "
            f"where lexemes @@ query and scope_id = '{scope}' order by ts_rank(lexemes, query) desc limit {K}"
        )
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (user,))
            for kind, questions in kinds.items():
                for what, statement in (("loci.search", search), ("ts_rank by hand", by_hand)):
                    if kind == "a phrase" and what != "loci.search":
                        continue
                    times, fewest = _measure(connection, statement, questions)
                    rows.append((kind, what, median(times), percentile(times, 95), fewest))
            exact = _exact(connection, kinds["8 words of a text"][:50], search)
    return Result(
        title="Full text at size",
        columns=["question", "statement", "median ms", "p95 ms", "fewest rows"],
        rows=rows,
        parameters={
            "chunks": arguments.keyword_chunks,
            "queries": arguments.keyword_queries,
            "k": K,
            "words a chunk": "20 to 250",
        },
        notes=[
            "Everything of loci.search(mode => 'keyword') is in it: who asks, the words' weights, the search, its rows.",
            f"Of the {K} best by BM25 over all matches, {exact:.0%} are among the {K} that loci.search returns (8 words of a text).",
        ],
    )


def _fill(connection: psycopg.Connection[Any], texts: list[str]) -> tuple[Any, Any]:
    user = _one(connection, "insert into loci.users (email) values ('bench@example.org') returning user_id")
    scope = _one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
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


def _measure(connection: psycopg.Connection[Any], statement: str, questions: list[str]) -> tuple[list[float], int]:
    times = []
    fewest = K
    for number, question in enumerate([*questions[:10], *questions]):
        begun = time.perf_counter()
        found = connection.execute(statement.encode(), (question,), prepare=True).fetchall()
        if number >= min(10, len(questions)):
            times.append((time.perf_counter() - begun) * 1000)
            fewest = min(fewest, len(found))
    return times, fewest


def _exact(connection: psycopg.Connection[Any], questions: list[str], search: str) -> float:
    """How much of what judging every match would give is in what a search gives."""
    same = count = 0
    for question in questions:
        quick = {row[0] for row in connection.execute(search.encode(), (question,))}
        connection.execute("update loci.settings set value = '100000' where name = 'keyword_candidates'")
        thorough = {
            row[0] for row in connection.execute(search.replace(f"k => {K}", "k => 300").encode(), (question,)).fetchall()[:K]
        }  # fmt: skip
        connection.execute("update loci.settings set value = null where name = 'keyword_candidates'")
        same += len(quick & thorough)
        count += len(thorough)
    return same / count


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    labels = [f"{row[0]}: {row[1]}" for row in result.rows]
    bars(axes, labels, [float(row[3]) for row in result.rows], "milliseconds a query, 95th percentile")
    limit(axes, 15, "budget of the full-text arm: 15 ms")
