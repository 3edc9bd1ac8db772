"""Vectors into a model's table that has no HNSW index yet: COPY beside what the drain writes with; then the index, once.

This is how a new model fills, or how vectors that somebody has already come in. Texts and their chunks are not part of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result
from benchmarks._pipeline import MODEL, add_index, add_model, copy_rows, one, ready_rows, start_again
from benchmarks._plots import bars, limit

_PER_MINUTE = 100000
# What one drain writes at a time: five requests of a hundred texts.
_BATCH = 500


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--load-rows", type=int, default=100000, help="vectors to load (100000)")
    parser.add_argument("--load-dimensions", type=int, default=1536, help="their dimensions (1536)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    count, dimensions = arguments.load_rows, arguments.load_dimensions
    with psycopg.connect(dsn, autocommit=True) as connection:
        table = add_model(connection, dimensions)
        _add_chunks(connection, count)
        lines = ready_rows(connection, dimensions)

        start_again(connection, table, queued=False)
        begun = time.perf_counter()
        copy_rows(connection, table, lines)
        copying = time.perf_counter() - begun
        size = one(connection, "select pg_table_size(%s)", table)

        start_again(connection, table, queued=True)
        storing = _store(connection, lines)
        written = one(connection, f"select count(*) from {table}")
        if written != count:
            raise RuntimeError(f"{written} of {count} vectors were stored")

        begun = time.perf_counter()
        add_index(connection, table)
        building = time.perf_counter() - begun
    rows: list[Sequence[str | float | int]] = [
        ("COPY", count / copying * 60, 1.0, copying, f">= {_PER_MINUTE:,}/min"),
        ("drain's writing (store_vectors)", count / storing * 60, copying / storing, storing, ""),
        ("HNSW index built afterwards", count / building * 60, "", building, ""),
        ("COPY and index", count / (copying + building) * 60, "", copying + building, ""),
    ]
    return Result(
        title="Loading vectors before their index",
        columns=["what", "vectors a minute", "share of COPY", "seconds", "must reach"],
        rows=rows,
        parameters={"vectors": count, "dimensions": dimensions, "vectors a batch of the drain": _BATCH},
        notes=[
            "COPY in text format, as one statement; store_vectors() in batches, each committed, with the queue that says "
            "what is still to do.",
            f"The table has {size / 1e6:,.0f} MB without indexes. The index is built by one statement, with as many workers "
            "as the server allows it; its graph has to fit maintenance_work_mem to be built fast.",
        ],
    )


def _add_chunks(connection: psycopg.Connection[Any], count: int) -> None:
    """Chunks as splitting would leave them, one a row; nothing is split for it."""
    scope = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    connection.execute(
        "with rows as ("
        "insert into loci_private.source_rows "
        "(source_id, key, version, placed_version, organization_id, scope_id, updated_at) "
        "select s.source_id, n::text, n, n, %s, %s, now() from loci_private.sources as s, generate_series(1, %s) as n "
        "where s.name = 'documents' returning row_id, source_id, key) "
        "insert into loci_private.chunks (row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, "
        "text_hash, token_count, lexemes, created_at, updated_at) "
        "select row_id, source_id, (select c.active_chunking from loci_private.chunking_assignments as c "
        "where c.source_id = rows.source_id limit 1), %s, %s, 0, 'text ' || key, sha256(convert_to('text ' || key, 'UTF8')), 2, "
        "to_tsvector('simple', 'text ' || key), now(), now() from rows",
        (scope, scope, count, scope, scope),
    )
    connection.execute("vacuum analyze loci_private.chunks, loci_private.source_rows")


def _store(connection: psycopg.Connection[Any], lines: list[str]) -> float:
    """Seconds that it takes to lease all chunks and store their vectors, batch by batch, as a drain does."""
    vectors = {int(line.partition("\t")[0]): line.split("\t")[7] for line in lines}
    model = one(connection, "select model_id from loci.embedding_models where name = %s", MODEL)
    begun = time.perf_counter()
    while True:
        lease = one(connection, "select gen_random_uuid()")
        claims = connection.execute(
            "select queue_id, chunk_id from loci_private.claim_chunks(%s, %s, %s)", (lease, model, _BATCH)
        ).fetchall()
        if not claims:
            return time.perf_counter() - begun
        chunks = [chunk for _, chunk in claims]
        connection.execute(
            "select loci_private.store_vectors(%s, %s, %s::bigint[], %s::bigint[], %s)",
            (model, lease, [queue for queue, _ in claims], chunks, [vectors[chunk] for chunk in chunks]),
        )


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    bars(
        axes, [str(row[0]) for row in result.rows], [float(row[1]) for row in result.rows], "vectors a minute",
        ["tab:blue", "tab:orange", "tab:gray", "tab:gray"],
    )  # fmt: skip
    limit(axes, _PER_MINUTE, f"budget for COPY: {_PER_MINUTE:,} a minute")
