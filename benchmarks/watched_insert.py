"""INSERT and UPDATE on a watched table beside the same table unwatched.

Both tables have the same rows and indexes. Rounds alternate between them, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from benchmarks import Result, median, percentile

_TEXT = "A sentence of ordinary length that an application might store in a row of its own. " * 3


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--insert-rows", type=int, default=100000, help="rows of the multi-row statements (100000)")
    parser.add_argument("--insert-rounds", type=int, default=5, help="rounds of each kind (5)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    count, rounds = arguments.insert_rows, arguments.insert_rounds
    single = max(count // 20, 1)
    with psycopg.connect(dsn, autocommit=True) as connection:
        organization = connection.execute(
            "insert into loci.organizations (name) values ('Bench') returning organization_id"
        ).fetchone()
        for table in ("plain", "watched"):
            connection.execute(
                f"create table {table} (id bigint generated always as identity primary key, scope uuid not null, "
                "title text, body text, seen integer not null default 0)".encode()
            )
        connection.execute("select loci.watch('watched', content => 'body', scope => 'scope', context => 'title')")
        assert organization is not None
        scope = organization[0]

        def many(table: str) -> float:
            return _timed(
                connection,
                f"insert into {table} (scope, title, body) select %s, 'title ' || n, %s || n from generate_series(1, %s) as n",
                (scope, _TEXT, count),
            )

        def one_by_one(table: str) -> float:
            statement = f"insert into {table} (scope, title, body) values (%s, %s, %s)".encode()
            with connection.transaction():
                begun = time.perf_counter()
                for number in range(single):
                    connection.execute(statement, (scope, f"title {number}", _TEXT), prepare=True)
                return (time.perf_counter() - begun) * 1000 / single

        def update(assignment: str) -> Callable[[str], float]:
            return lambda table: _timed(connection, f"update {table} set {assignment} where id <= %s", (count,))

        kinds: list[tuple[str, Callable[[str], float], str]] = [
            (f"one INSERT of {count} rows, ms", many, "1.5"),
            ("single-row INSERT, ms a statement", one_by_one, "2"),
            (f"UPDATE of another column, {count} rows, ms", update("seen = seen + 1"), ""),
            (f"UPDATE of the text, {count} rows, ms", update("body = body || '.'"), ""),
        ]
        rows: list[Sequence[str | float | int]] = []
        for name, measure, limit in kinds:
            times: dict[str, list[float]] = {"plain": [], "watched": []}
            for number in range(rounds + 1):
                for table in ("plain", "watched"):
                    taken = measure(table)
                    # The first round warms up.
                    if number:
                        times[table].append(taken)
                    connection.execute("truncate loci_private.row_queue")
            rows.append(
                (
                    name, median(times["plain"]), median(times["watched"]), percentile(times["watched"], 95),
                    median(times["watched"]) / median(times["plain"]), limit,
                )
            )  # fmt: skip
    return Result(
        title="Statements on a watched table",
        columns=["statement", "unwatched", "watched", "watched p95", "ratio", "must not exceed"],
        rows=rows,
        parameters={"rows": count, "single-row statements": single, "rounds": rounds},
        notes=["Medians of the rounds; a vacuum runs whenever autovacuum thinks so, on both tables alike."],
    )


def _timed(connection: psycopg.Connection[Any], statement: str, parameters: tuple[Any, ...]) -> float:
    begun = time.perf_counter()
    connection.execute(statement.encode(), parameters)
    return (time.perf_counter() - begun) * 1000
