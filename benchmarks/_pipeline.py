"""What benchmarks of the pipeline share: a gateway in a process of its own, rows split into chunks, drains side by side."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks._embedding_server import vector_of

MODEL = "bench"
_DRAIN_SECONDS = 3600


@contextmanager
def gateway(dimensions: int, latency: float) -> Iterator[str]:
    """Address of an embedding server that answers after so many seconds."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._embedding_server", "0", str(dimensions), str(latency)],
        cwd=Path(__file__).resolve().parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise RuntimeError("the embedding server did not start")
        yield f"http://127.0.0.1:{line.split()[-1]}/v1"
    finally:
        server.kill()
        server.wait()


def use_gateway(connection: psycopg.Connection[Any], address: str, concurrency: int = 5) -> None:
    """Models are served from there; its limit of requests is out of the way."""
    connection.execute(
        "select loci.add_gateway('default', %s, max_concurrency => %s, requests_per_minute => 1000000)",
        (address, concurrency),
    )


def fill(connection: psycopg.Connection[Any], chunks: int) -> float:
    """So many documents of one chunk each, split and queued for the model; seconds that splitting them took."""
    # While its gateway rests, the drain only splits.
    connection.execute(
        "insert into loci_private.model_health (model_id, cooldown_until, outages, since) "
        "select model_id, 'infinity', 1, now() from loci.embedding_models where name = %s",
        (MODEL,),
    )
    scope = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 9))) for _ in range(3000)]
    with connection.cursor() as cursor, cursor.copy("copy loci.documents (scope_id, content) from stdin") as copy:
        for number in range(chunks):
            copy.write_row((scope, f"{number} {' '.join(rng.choices(words, k=60))}"))
    begun = time.perf_counter()
    connection.execute("call loci.drain(%s)", (_DRAIN_SECONDS,))
    seconds = time.perf_counter() - begun
    found = one(connection, "select count(*) from loci_private.chunks")
    if found != chunks:
        raise RuntimeError(f"there are {found} chunks instead of {chunks}")
    connection.execute("delete from loci_private.model_health")
    connection.execute("vacuum analyze loci_private.chunks, loci_private.source_rows, loci_private.row_queue")
    return seconds


def add_model(
    connection: psycopg.Connection[Any], dimensions: int, max_batch: int = 100, provider: str = "litellm"
) -> str:
    """Make the model that everything is embedded with; the name of the table of its vectors."""
    connection.execute(
        "select loci.add_embedding_model(%s, dimensions => %s, max_batch => %s, provider => %s)",
        (MODEL, dimensions, max_batch, provider),
    )
    connection.execute("select loci.use_embedding_model(%s)", (MODEL,))
    return str(
        one(
            connection,
            "select 'loci_private.' || loci_private.model_table(model_id) from loci.embedding_models where name = %s",
            MODEL,
        )
    )


def add_index(connection: psycopg.Connection[Any], table: str) -> None:
    """The index that Loci makes for a model's vectors once there are some thousands of them."""
    name = table.rpartition(".")[2]
    connection.execute(
        f"create index if not exists {name}_hnsw on {table} using hnsw (embedding halfvec_cosine_ops) "
        "with (m = 16, ef_construction = 64)".encode()
    )


def start_again(connection: psycopg.Connection[Any], table: str, *, queued: bool) -> None:
    """No vectors; every chunk queued, or none."""
    connection.execute(f"truncate {table}, loci_private.embed_queue".encode())
    if queued:
        connection.execute(
            "select loci_private.enqueue_missing(model_id) from loci.embedding_models where name = %s", (MODEL,)
        )
    connection.execute("vacuum analyze loci_private.embed_queue")
    connection.execute("checkpoint")


def ready_rows(connection: psycopg.Connection[Any], dimensions: int) -> list[str]:
    """What the drain would write for the chunks, as lines of COPY, made beforehand."""
    lines = []
    for chunk in connection.execute(
        "select chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, concat_ws(E'\\n\\n', context, content) "
        "from loci_private.chunks order by chunk_id"
    ).fetchall():
        *places, text = chunk
        vector = ",".join(["%.6g"] * dimensions) % tuple(vector_of(text, dimensions).tolist())
        lines.append("\t".join(map(str, places)) + f"\t\\N\t[{vector}]\tnow\n")
    return lines


def copy_rows(connection: psycopg.Connection[Any], table: str, lines: list[str]) -> None:
    statement = (
        f"copy {table} (chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, audience, embedding, "
        "created_at) "
        "from stdin"
    )
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for start in range(0, len(lines), 50):
            copy.write("".join(lines[start : start + 50]))


def side_by_side(dsn: str, works: list[Callable[[psycopg.Connection[Any]], None]]) -> float:
    """Seconds until all are done, each with a connection of its own."""
    errors: list[BaseException] = []

    def run(work: Callable[[psycopg.Connection[Any]], None]) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                ready.wait()
                work(connection)
        except BaseException as error:
            errors.append(error)

    ready = threading.Barrier(len(works) + 1)
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - begun


def drain(connection: psycopg.Connection[Any]) -> None:
    connection.execute("call loci.drain(%s)", (_DRAIN_SECONDS,))


def one(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters or None).fetchone()
    assert row is not None
    return row[0]


def pgbench(connection: psycopg.Connection[Any]) -> str:
    """Path of pgbench: the server's own, or any at all where the server is on another machine."""
    beside = Path(one(connection, "select setting from pg_config where name = 'BINDIR'")) / "pgbench"
    found = str(beside) if beside.exists() else shutil.which("pgbench")
    if found is None:
        raise RuntimeError("there is no pgbench beside the server nor in the PATH")
    return found
