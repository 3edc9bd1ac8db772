"""The full-text arm alone at 100,000 chunks, beside hand-written ts_rank over the same words.

Texts are words drawn as often as words are in a language (Zipf); questions are made of words of one text, so that there
is something to find. Chunks are written straight into their table: what is measured is the search.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median, percentile, processor_ms
from benchmarks._plots import bars, limit
from benchmarks._texts import KINDS, Texts, fill

K = 10


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--keyword-chunks", type=int, default=100000, help="chunks (100000)")
    parser.add_argument("--keyword-queries", type=int, default=200, help="questions of each kind (200); 30 by hand")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    corpus = Texts(arguments.keyword_chunks)
    kinds = {kind: corpus.questions(kind, arguments.keyword_queries) for kind in KINDS}
    rows: list[Sequence[str | float | int]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        user, scope = fill(connection, corpus.texts)
        # What was asked before is another benchmark.
        connection.execute("update loci.settings set value = '0' where name = 'cache_search_seconds'")
        search = f"select chunk_id from loci.search(%s, k => {K}, mode => 'keyword')"
        by_hand = (
            "select chunk_id from loci_private.chunks, "
            "(select string_agg(quote_literal(l.lexeme), ' | ')::tsquery as query from unnest(to_tsvector('english', %s)) as l) as q "
            f"where lexemes @@ query and scope_id = '{scope}' order by ts_rank(lexemes, query) desc limit {K}"
        )
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (user,))
            for kind, questions in kinds.items():
                # By hand it takes long.
                for what, statement, count in (
                    ("loci.search", search, len(questions)),
                    ("ts_rank by hand", by_hand, 30),
                ):
                    if kind == "a phrase" and what != "loci.search":
                        continue
                    times, processor, fewest = _measure(connection, statement, questions[:count])
                    figures = (median(times), percentile(times, 95), median(processor), percentile(processor, 95))
                    rows.append((kind, what, *figures, fewest))
            exact = _exact(connection, kinds["8 words of a text"][:50], search)
    return Result(
        title="Full text at size",
        columns=["question", "statement", "median ms", "p95 ms", "CPU ms", "p95 CPU ms", "fewest rows"],
        rows=rows,
        parameters={
            "chunks": arguments.keyword_chunks,
            "queries": arguments.keyword_queries,
            "k": K,
            "words a chunk": "20 to 250",
        },
        notes=[
            "CPU ms: time on the processor of the server's process, which other work of the machine does not prolong by much.",
            "Everything of loci.search(mode => 'keyword') is in it: who asks, the words' weights, the search, its rows.",
            f"Of the {K} best by BM25 over all matches, {exact:.0%} are among the {K} that loci.search returns (8 words of a text).",
        ],
    )


def _measure(
    connection: psycopg.Connection[Any], statement: str, questions: list[str]
) -> tuple[list[float], list[float], int]:
    times, processor = [], []
    fewest = K
    for number, question in enumerate([*questions[:10], *questions]):
        worked = processor_ms(connection)
        begun = time.perf_counter()
        found = connection.execute(statement.encode(), (question,), prepare=True).fetchall()
        if number >= min(10, len(questions)):
            times.append((time.perf_counter() - begun) * 1000)
            processor.append(processor_ms(connection) - worked)
            fewest = min(fewest, len(found))
    return times, processor, fewest


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


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    labels = [f"{row[0]}: {row[1]}" for row in result.rows]
    colors = ["tab:blue" if row[1] == "loci.search" else "tab:gray" for row in result.rows]
    bars(axes, labels, [float(row[3]) for row in result.rows], "milliseconds a query, 95th percentile", colors)
    limit(axes, 15, "budget of the full-text arm: 15 ms")
