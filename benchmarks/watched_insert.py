"""INSERT, COPY and UPDATE on a watched table beside the same table unwatched.

Twice: small rows with a primary key alone, where whatever is added weighs most; and rows as applications have them, with
500 bytes of text and two indexes of their own. Rounds alternate between both tables, so that whatever else the machine does
meets both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median, percentile
from benchmarks._pipeline import one

_KINDS = {"small rows": 80, "rows of 500 bytes, two more indexes": 500}
_LIMITS = {"INSERT of many rows": 1.5, "COPY of many rows": 1.5, "INSERT of 100 rows": 1.5, "INSERT of one row": 2.0}


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--insert-rows", type=int, default=100000, help="rows of the multi-row statements (100000)")
    parser.add_argument("--insert-rounds", type=int, default=5, help="rounds of each statement (5)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    count, rounds = arguments.insert_rows, arguments.insert_rounds
    rows: list[Sequence[str | float | int]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        scope = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
        for kind, size in _KINDS.items():
            for table in ("plain", "watched"):
                connection.execute(
                    f"create table {table} (id bigint generated always as identity primary key, scope uuid not null, "
                    "title text, body text, seen integer not null default 0)".encode()
                )
                if size > 100:
                    connection.execute(f"create index on {table} (scope, id)".encode())
                    connection.execute(f"create index on {table} (title)".encode())
            connection.execute("select loci.watch('watched', content => 'body', scope => 'scope', context => 'title')")
            for name, measure in _statements(connection, scope, "x" * size, count).items():
                times: dict[str, list[float]] = {"plain": [], "watched": []}
                for number in range(rounds + 1):
                    # Whatever the first of a round leaves behind, the second meets: they take turns.
                    for table in ("plain", "watched") if number % 2 else ("watched", "plain"):
                        connection.execute("truncate loci_private.row_queue, loci_private.row_bulk")
                        milliseconds = measure(table)
                        # The first round warms up.
                        if number:
                            times[table].append(milliseconds)
                plain, watched = times["plain"], times["watched"]
                ratio = median([with_loci / without for with_loci, without in zip(watched, plain, strict=True)])
                rows.append(
                    (kind, name, median(plain), median(watched), percentile(watched, 95), ratio, _LIMITS.get(name, ""))
                )
            connection.execute("select loci.unwatch('watched')")
            connection.execute("drop table plain, watched")
    return Result(
        title="Statements on a watched table",
        columns=["rows", "statement", "unwatched ms", "watched ms", "watched p95", "ratio", "must not exceed"],
        rows=rows,
        parameters={"rows of many": count, "rounds": rounds},
        notes=[
            "Medians of the rounds, milliseconds a statement; ratio: median of the rounds' ratios. UPDATEs change a fifth as "
            "many rows.",
            "A trigger that sees the rows of a statement makes PostgreSQL write them down once more for it; for small rows "
            "that alone is a large part of what is measured.",
        ],
    )


def _statements(
    connection: psycopg.Connection[Any], scope: Any, text: str, count: int
) -> dict[str, Callable[[str], float]]:
    """Name of a statement to a function that runs it on a table and returns its milliseconds."""

    def insert(size: int, repeat: int) -> Callable[[str], float]:
        def measure(table: str) -> float:
            statement = (
                f"insert into {table} (scope, title, body) "
                "select %s, 'title ' || n, %s || n from generate_series(1, %s::int) as n"
            ).encode()
            with connection.transaction():
                begun = time.perf_counter()
                for _ in range(repeat):
                    connection.execute(statement, (scope, text, size), prepare=True)
                return (time.perf_counter() - begun) * 1000 / repeat

        return measure

    def single(table: str) -> float:
        statement = f"insert into {table} (scope, title, body) values (%s, %s, %s)".encode()
        repeat = max(count // 20, 1)
        with connection.transaction():
            begun = time.perf_counter()
            for number in range(repeat):
                connection.execute(statement, (scope, f"title {number}", text), prepare=True)
            return (time.perf_counter() - begun) * 1000 / repeat

    lines = "".join(f"{scope}\ttitle {number}\t{text}{number}\n" for number in range(count))

    def copy(table: str) -> float:
        begun = time.perf_counter()
        with connection.cursor() as cursor, cursor.copy(f"copy {table} (scope, title, body) from stdin".encode()) as to:
            to.write(lines)
        return (time.perf_counter() - begun) * 1000

    def update(assignment: str) -> Callable[[str], float]:
        def measure(table: str) -> float:
            begun = time.perf_counter()
            connection.execute(f"update {table} set {assignment} where id <= %s".encode(), (max(count // 5, 1),))
            return (time.perf_counter() - begun) * 1000

        return measure

    return {
        "INSERT of many rows": insert(count, 1),
        "COPY of many rows": copy,
        "INSERT of 100 rows": insert(100, max(count // 1000, 1)),
        "INSERT of one row": single,
        "UPDATE of another column": update("seen = seen + 1"),
        "UPDATE of the text": update("body = body || '.'"),
    }


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    statements = list(dict.fromkeys(str(row[1]) for row in result.rows))
    for offset, kind in zip((-0.2, 0.2), _KINDS, strict=True):
        ratios = [float(row[5]) for row in result.rows if row[0] == kind]
        drawn = axes.bar([n + offset for n in range(len(statements))], ratios, 0.38, label=kind)
        axes.bar_label(drawn, fmt="%.2f", label_type="center", color="white")
    for n, statement in enumerate(statements):
        if statement in _LIMITS:
            axes.hlines(
                _LIMITS[statement],
                n - 0.45,
                n + 0.45,
                "tab:red",
                "--",
                label="_again" if n else "budget: must not exceed",
            )
    axes.axhline(1, color="gray", linewidth=1)
    axes.set_xticks(range(len(statements)), [statement.replace(" of ", "\nof ") for statement in statements])
    axes.set_ylabel("time, as a multiple of the same statement\non the same table unwatched")
    axes.legend(frameon=False)
