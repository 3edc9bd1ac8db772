"""loci.search(mode => 'vector') and loci.search_vector() beside hand-written pgvector SQL on the same table, model hash.

Texts are made of random words. The model only has to place them somewhere: what is measured is what Loci adds to the
scan. Statements are prepared; the hand-written ones and loci.search_vector() get the query's vector as a parameter,
loci.search() makes it itself. The graph is walked as wide by hand as Loci does, so that recall is the same.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median, percentile
from benchmarks._pipeline import add_index, one

K = 10
DIMENSIONS = 256
_EXACT = "set local enable_indexscan = off"
_INDEX = "set local hnsw.ef_search = {}; set local hnsw.iterative_scan = relaxed_order"


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--rows", type=int, default=20000, help="documents, one chunk each (20000)")
    parser.add_argument("--queries", type=int, default=200, help="queries of each kind (200)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 9))) for _ in range(3000)]
    weights = [1 / (rank + 5) for rank in range(len(words))]
    with psycopg.connect(dsn, autocommit=True) as connection:
        user, organization = _fill(connection, arguments.rows, rng, words, weights)
        queries = [" ".join(rng.choices(words, weights, k=8)) for _ in range(arguments.queries)]
        table = one(
            connection, "select 'loci_private.embeddings_' || model_id from loci.embedding_models where name = 'bench'"
        )
        add_index(connection, table)
        connection.execute(f"vacuum analyze {table}".encode())
        connection.execute("vacuum analyze loci_private.chunks")
        connection.execute("vacuum analyze loci_private.source_rows")
        found = one(connection, f"select count(*) from {table}")
        by_hand = (
            "select c.chunk_id, c.content from ("
            f"select e.chunk_id, e.embedding <=> %s::halfvec({DIMENSIONS}) as distance from {table} as e "
            f"where e.scope_id = any(%s) order by distance limit {K}"
            ") as n join loci_private.chunks as c using (chunk_id) order by n.distance"
        )
        search = f"select chunk_id, content from loci.search(%s, k => {K}, mode => 'vector')"
        search_vector = f"select chunk_id, content from loci.search_vector(%s::halfvec, k => {K})"
        # What was asked before is another benchmark.
        connection.execute(
            "update loci.settings set value = '0' where name in ('cache_search_seconds', 'cache_embedding_seconds')"
        )
        rows: list[Sequence[str | float | int]] = []
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (user,))
            vectors = [str(one(connection, "select loci.embed(%s)::text", q)) for q in queries]
            embedding, _ = _measure(connection, "select loci.embed(%s)", [(q,) for q in queries])
            scopes = [organization]
            loci: dict[str, tuple[list[float], list[set[int]]]] = {}
            given: dict[str, tuple[list[float], list[set[int]]]] = {}
            for path, limit in (("exact", 1000000), ("index", 0)):
                connection.execute("update loci.settings set value = %s where name = 'exact_scan_limit'", (str(limit),))
                loci[path] = _measure(connection, search, [(q,) for q in queries])
                given[path] = _measure(connection, search_vector, [(v,) for v in vectors])
            wide = one(
                connection,
                "select r.ef_search from loci_private.vector_route((select model_id from loci.embedding_models "
                "where name = 'bench'), loci_private.search_filter(null, null, null, null, null), %s, %s) as r",
                K,
                K,
            )
            hand: dict[str, tuple[list[float], list[set[int]]]] = {}
            for path, settings in (("exact", _EXACT), ("index", _INDEX.format(wide))):
                hand[path] = _within(
                    connection, settings, lambda: _measure(connection, by_hand, [(v, scopes) for v in vectors])
                )
    truth = hand["exact"][1]
    for path in ("exact", "index"):
        for what, (times, answers) in (
            ("hand-written", hand[path]), ("loci.search_vector", given[path]), ("loci.search", loci[path])
        ):  # fmt: skip
            rows.append(
                (
                    path, what, median(times), percentile(times, 95), median(times) / median(hand[path][0]),
                    sum(len(a & b) for a, b in zip(answers, truth, strict=True)) / sum(len(b) for b in truth),
                    min(len(a) for a in answers),
                )
            )  # fmt: skip
    rows.append(("-", "loci.embed alone", median(embedding), percentile(embedding, 95), "", "", ""))
    return Result(
        title="Vector search beside hand-written SQL",
        columns=["path", "statement", "median ms", "p95 ms", "ratio", f"recall@{K}", "fewest rows"],
        rows=rows,
        parameters={"rows": found, "queries": len(queries), "k": K, "dimensions": DIMENSIONS, "visible": "all"},
        notes=[
            "ratio: median against the hand-written statement on the same path. loci.search() embeds the question, "
            "which the others are spared; the last line says what that takes.",
            f"exact: all visible vectors compared. index: HNSW, iterative scan, ef_search {wide}, which Loci has chosen.",
            "recall: against the hand-written exact scan.",
        ],
    )


def _fill(
    connection: psycopg.Connection[Any], count: int, rng: random.Random, words: list[str], weights: list[float]
) -> tuple[Any, Any]:
    connection.execute("select loci.add_embedding_model('bench', provider => 'hash', dimensions => %s)", (DIMENSIONS,))
    connection.execute("select loci.use_embedding_model('bench')")
    user = one(connection, "insert into loci.users (email) values ('bench@example.org') returning user_id")
    organization = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    connection.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", (organization, user)
    )
    with connection.cursor() as cursor, cursor.copy("copy loci.documents (scope_id, content) from stdin") as copy:
        for _ in range(count):
            copy.write_row((organization, " ".join(rng.choices(words, weights, k=rng.randint(20, 60)))))
    while one(connection, "select pending from loci.progress where source = 'documents'"):
        connection.execute("call loci.drain()")
    return user, organization


def _within(connection: psycopg.Connection[Any], settings: str, work: Callable[[], Any]) -> Any:
    """Do it with other settings, in a subtransaction that is rolled back."""
    with connection.transaction(force_rollback=True):
        connection.execute(settings.encode())
        return work()


def _measure(
    connection: psycopg.Connection[Any], query: str, parameters: Sequence[tuple[Any, ...]]
) -> tuple[list[float], list[set[int]]]:
    """Milliseconds and the first column of the rows, each query once after ten to warm up."""
    times, answers = [], []
    for number, values in enumerate([*parameters[:10], *parameters]):
        begun = time.perf_counter()
        rows = connection.execute(query.encode(), values, prepare=True).fetchall()
        if number >= min(10, len(parameters)):
            times.append((time.perf_counter() - begun) * 1000)
            answers.append({row[0] for row in rows})
    return times, answers


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    rows = [row for row in result.rows if row[0] != "-"]
    positions = range(len(rows))
    for offset, column, label in ((-0.2, 2, "median"), (0.2, 3, "95th percentile")):
        drawn = axes.bar([n + offset for n in positions], [float(row[column]) for row in rows], 0.38, label=label)
        axes.bar_label(drawn, fmt="%.3g", padding=2)
    for n, row in enumerate(rows):
        if row[1] == "loci.search_vector":
            budget = 1.3 * float(next(other[2] for other in rows if other[0] == row[0]))
            # Named once: what begins with an underscore is in no legend.
            label = "budget: 1.3 x hand-written median" if n < 3 else "_again"
            axes.hlines(budget, n - 0.45, n + 0.45, "tab:red", "--", label=label)
    axes.set_xticks(positions, [f"{row[1]}\n{row[0]}" for row in rows])
    axes.set_ylabel("milliseconds a query")
    axes.legend(frameon=False)
