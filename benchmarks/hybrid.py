"""loci.search() end to end at 100,000 chunks, beside both arms written by hand and fused by their ranks.

Texts and questions as in `keyword`, vectors of the provider hash, HNSW index. Each question is new to the caches; embedding
it is part of loci.search(), and the statement by hand is given the vector. Statements are prepared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median, percentile, processor_ms
from benchmarks._pipeline import add_index, add_model, one
from benchmarks._plots import bars, limit
from benchmarks._texts import KINDS, Texts, fill

K = 10
DIMENSIONS = 256
_WARM = 10


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--hybrid-chunks", type=int, default=100000, help="chunks (100000)")
    parser.add_argument("--hybrid-queries", type=int, default=100, help="questions of each kind (100); 30 by hand")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    corpus = Texts(arguments.hybrid_chunks)
    rows: list[Sequence[str | float | int]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        user, scope = fill(connection, corpus.texts)
        table = _embed(connection)
        by_hand = (
            "with q as (select %s::halfvec as vector, (select string_agg(quote_literal(l.lexeme), ' | ')::tsquery "
            "from unnest(to_tsvector('english', %s)) as l) as words), "
            "v as (select e.chunk_id, row_number() over (order by e.distance) as place from ("
            f"select e.chunk_id, e.embedding <=> (select vector from q)::halfvec({DIMENSIONS}) as distance from {table} as e "
            f"where e.scope_id = '{scope}' order by distance limit 50) as e), "
            "w as (select c.chunk_id, row_number() over (order by c.rank desc) as place from ("
            "select c.chunk_id, ts_rank(c.lexemes, q.words) as rank from loci_private.chunks as c, q "
            f"where c.lexemes @@ q.words and c.scope_id = '{scope}' order by rank desc limit 50) as c) "
            "select c.chunk_id, c.content from v full join w using (chunk_id) join loci_private.chunks as c using (chunk_id) "
            f"order by coalesce(1.0 / (60 + v.place), 0) + coalesce(1.0 / (60 + w.place), 0) desc limit {K}"
        )
        search = f"select chunk_id, content from loci.search(%s, k => {K}, mode => %s)"
        with connection.transaction():
            connection.execute("set local hnsw.ef_search = 100")
            connection.execute("select loci.act_as(%s)", (user,))
            for kind in KINDS:
                questions = corpus.questions(kind, arguments.hybrid_queries + _WARM)
                ways = {
                    "loci.search, hybrid": (search, [(q, "hybrid") for q in questions]),
                    "loci.search, vector": (search, [(q, "vector") for q in questions]),
                    "loci.search, keyword": (search, [(q, "keyword") for q in questions]),
                    # It takes long.
                    "both arms by hand": (by_hand, [(_vector(connection, q), q) for q in questions[: _WARM + 30]]),
                }
                # To PostgreSQL a phrase is another question.
                if kind == "a phrase":
                    del ways["both arms by hand"]
                for what, (statement, values) in ways.items():
                    times, processor, fewest = _measure(connection, statement, values)
                    figures = (median(times), percentile(times, 95), median(processor), percentile(processor, 95))
                    rows.append((kind, what, *figures, fewest))
    return Result(
        title="Search end to end",
        columns=["question", "statement", "median ms", "p95 ms", "CPU ms", "p95 CPU ms", "fewest rows"],
        rows=rows,
        parameters={
            "chunks": arguments.hybrid_chunks, "queries": arguments.hybrid_queries, "k": K, "dimensions": DIMENSIONS,
            "words a chunk": "20 to 250",
        },
        notes=[
            "CPU ms: time on the processor of the server's process, which other work of the machine does not prolong by much.",
            "To be reached: hybrid 25 ms, and 50 ms with the question's embedding, for 95 of 100 questions. Both are in the figure: "
            "who asks, the words' weights, both arms, their fusion, the rows, and an entry in the cache.",
            "vector comes after hybrid and finds the question's vector in the cache; the statement by hand is given it.",
            "both arms by hand: HNSW (ef_search 100) and ts_rank, 50 each, fused by reciprocal ranks.",
        ],
    )  # fmt: skip


def _embed(connection: psycopg.Connection[Any]) -> str:
    """Give every chunk a vector of the provider hash, and the model its index; the name of the table."""
    table = add_model(connection, DIMENSIONS, provider="hash")
    connection.execute("update loci_private.model_assignments set active_model = target_model")
    connection.execute(
        f"insert into {table} (chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, embedding, created_at) "
        "select c.chunk_id, c.row_id, c.source_id, c.chunking_id, c.organization_id, c.scope_id, v.vector::halfvec, now() "
        "from (select array_agg(x.chunk_id order by x.chunk_id) as ids, array_agg(x.content order by x.chunk_id) as texts "
        "from loci_private.chunks as x group by x.chunk_id / 1000) as b "
        "cross join lateral unnest(b.ids, loci_private.embed_texts(b.texts, loci_private.model_config((select active_model "
        "from loci_private.model_assignments limit 1)), 'passage')) as v (chunk_id, vector) "
        "join loci_private.chunks as c on c.chunk_id = v.chunk_id".encode()
    )
    add_index(connection, table)
    connection.execute(f"vacuum analyze {table}".encode())
    return table


def _vector(connection: psycopg.Connection[Any], question: str) -> str:
    return str(one(connection, "select loci.embed(%s)::text", question))


def _measure(
    connection: psycopg.Connection[Any], statement: str, values: Sequence[tuple[Any, ...]]
) -> tuple[list[float], list[float], int]:
    """Milliseconds of each after ten to warm up, by the clock and of the processor, and the fewest rows."""
    times, processor = [], []
    fewest = K
    for number, given in enumerate(values):
        worked = processor_ms(connection)
        begun = time.perf_counter()
        found = connection.execute(statement.encode(), given, prepare=True).fetchall()
        if number >= min(_WARM, len(values) - 1):
            times.append((time.perf_counter() - begun) * 1000)
            processor.append(processor_ms(connection) - worked)
            fewest = min(fewest, len(found))
    return times, processor, fewest


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    rows = [row for row in result.rows if row[1] in ("loci.search, hybrid", "both arms by hand")]
    bars(
        axes,
        [f"{row[0]}: {row[1]}" for row in rows],
        [float(row[3]) for row in rows],
        "milliseconds a query, 95th percentile",
        ["tab:blue" if str(row[1]).startswith("loci") else "tab:gray" for row in rows],
    )
    limit(axes, 25, "budget of hybrid search: 25 ms")
