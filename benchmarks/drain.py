"""loci.drain() with a gateway beside COPY of ready vectors into the same table.

The gateway is a process of its own that answers at once or after 100 ms. Every run starts from an empty table of vectors
and writes the same ones: without an index, as when a model is filled for the first time (Loci builds its HNSW afterwards),
and into an HNSW that is there already.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result
from benchmarks._pipeline import (
    add_index,
    add_model,
    copy_rows,
    drain,
    fill,
    gateway,
    one,
    ready_rows,
    side_by_side,
    start_again,
    use_gateway,
)
from benchmarks._plots import bars, limit

_OF_COPY = 0.5
_PER_MINUTE = 10000


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--drain-chunks", type=int, default=20000, help="chunks to embed (20000)")
    parser.add_argument("--drain-dimensions", type=int, default=1536, help="dimensions of their vectors (1536)")
    parser.add_argument("--drain-latency", type=float, default=100, help="slow gateway's answer takes, in ms (100)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    count, dimensions, slow = arguments.drain_chunks, arguments.drain_dimensions, arguments.drain_latency
    rates: dict[tuple[str, str], float] = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        table = add_model(connection, dimensions)
        splitting = fill(connection, count)
        lines = ready_rows(connection, dimensions)
        for state, indexed in (("first load", False), ("index in place", True)):
            if indexed:
                start_again(connection, table, queued=False)
                add_index(connection, table)
            for sessions in (1, 2):
                start_again(connection, table, queued=False)
                parts = [lines[n::sessions] for n in range(sessions)]
                rates[state, f"COPY, {_sessions(sessions)}"] = count / side_by_side(
                    dsn, [partial(copy_rows, table=table, lines=part) for part in parts]
                )
            for latency in (0.0, slow):
                with gateway(dimensions, latency / 1000) as address:
                    use_gateway(connection, address)
                    for sessions in (1, 2):
                        start_again(connection, table, queued=True)
                        seconds = side_by_side(dsn, [drain] * sessions)
                        written = one(connection, f"select count(*) from {table}")
                        if written != count:
                            raise RuntimeError(f"{written} of {count} chunks were embedded: see loci.failures")
                        rates[state, f"drain, {_sessions(sessions)}, gateway {latency:g} ms"] = count / seconds
    rows: list[Sequence[str | float | int]] = []
    for (state, what), rate in rates.items():
        reference = rates[state, "COPY, 2 sessions" if "2 sessions" in what else "COPY, 1 session"]
        budget = ""
        if what.startswith("drain"):
            # COPY without an index to fill is no measure of a drain, which does more than write.
            of_copy = f">= {_OF_COPY:.0%} of COPY" if state == "index in place" else ""
            budget = of_copy if "gateway 0 ms" in what else f">= {_PER_MINUTE:,}/min"
        rows.append((state, what, rate * 60, rate / reference, budget))
    rows.append(("", "split into chunks, 1 session", count / splitting * 60, "", ""))
    return Result(
        title="Drain beside COPY of ready vectors",
        columns=["table", "what", "a minute", "share of COPY", "must reach"],
        rows=rows,
        parameters={"chunks": count, "dimensions": dimensions, "texts a request": 100, "requests in flight": 5},
        notes=[
            "Each run fills the table anew. With its HNSW in place, inserting into that is most of what COPY and the drain "
            "take; a first load builds it afterwards (see bulk_load for what that takes).",
            "share of COPY: against COPY with as many sessions.",
            "The gateway shares the machine's cores with the database.",
        ],
    )


def _sessions(count: int) -> str:
    return f"{count} session{'s' if count > 1 else ''}"


def plot(result: Result, figure: Figure) -> None:
    states = [state for state in dict.fromkeys(str(row[0]) for row in result.rows) if state]
    for axes, state in zip(figure.subplots(len(states), 1), states, strict=True):
        rows = [row for row in result.rows if row[0] == state]
        bars(axes, [str(row[1]) for row in rows], [float(row[2]) for row in rows], "vectors stored a minute")
        limit(axes, _PER_MINUTE, f"budget at {str(rows[-1][1]).rsplit('gateway ')[-1]}: {_PER_MINUTE:,}")
        axes.set_title(state, loc="left")
