"""A repeated loci.search() beside a SELECT by primary key, with pgbench and prepared statements.

One client for the times of single statements, two for how many a second there are. The user is a mapped login role; `named`
is the same with a role of an application that calls act_as() first, in one transaction.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from matplotlib.figure import Figure
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import Result, median, percentile
from benchmarks._pipeline import one, pgbench
from benchmarks._plots import bars, limit

_QUESTION = "what is written in document 5?"


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--cache-rows", type=int, default=5000, help="documents, one chunk each (5000)")
    parser.add_argument("--cache-projects", type=int, default=20, help="projects the user sees (20)")
    parser.add_argument("--cache-seconds", type=int, default=10, help="seconds of each measurement (10)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    with psycopg.connect(dsn, autocommit=True) as connection:
        program = pgbench(connection)
        name = connection.info.dbname
        mapped, app = f"{name}_mapped", f"{name}_app"
        for role in (mapped, app):
            connection.execute(f"create role \"{role}\" login password 'bench' in role loci_app".encode())
        try:
            user = _fill(connection, arguments.cache_rows, arguments.cache_projects, mapped)
            document = one(connection, "select document_id from loci.documents limit 1")
            search = f"select chunk_id, content, similarity from loci.search('{_QUESTION}');"
            scripts = {
                "SELECT by primary key": (mapped, f"select content from loci.documents where document_id = '{document}';"),
                "the same as owner of the table": (None, f"select content from loci.documents where document_id = '{document}';"),
                "cached search": (mapped, search),
                "cached search, named": (app, f"begin;\nselect loci.act_as('{user}');\n{search}\ncommit;"),
                "cached search, while others write": (mapped, search),
                "search, cache off": (mapped, search),
            }  # fmt: skip
            rows: list[Sequence[str | float | int]] = []
            reference = 0.0
            for what, (role, script) in scripts.items():
                connection.execute(
                    "update loci.settings set value = case when %s then '0' end where name = any(%s)",
                    ("off" in what, ["cache_search_seconds", "cache_embedding_seconds"]),
                )
                target = _as(dsn, role)
                writer = _writer(dsn, program, arguments.cache_seconds) if "write" in what else None
                times = _times(program, target, script, arguments.cache_seconds)
                rate = _rate(program, target, script, arguments.cache_seconds)
                if writer is not None:
                    writer.wait()
                reference = reference or rate
                rows.append((what, median(times), percentile(times, 95), rate, rate / reference))
            hits = connection.execute("select hits, misses from loci.cache_stats where kind = 'search'").fetchone()
        finally:
            for role in (mapped, app):
                connection.execute(f'drop owned by "{role}"'.encode())
                connection.execute(f'drop role "{role}"'.encode())
    assert hits is not None
    return Result(
        title="Cached search",
        columns=["statement", "median ms", "p95 ms", "a second, 2 clients", "ratio"],
        rows=rows,
        parameters={
            "rows": arguments.cache_rows, "projects": arguments.cache_projects, "k": 5, "hits": hits[0], "misses": hits[1]
        },
        notes=[
            "ratio: of how many a second, against the SELECT by primary key, which is under row-level security.",
            "To be reached: p95 below 1 ms, 10,000 a second. pgbench shares the processors with the server.",
            "while others write: one more client inserts documents into another organization, as fast as it can.",
            "Each statement is a transaction; the named one is four round trips.",
        ],
    )  # fmt: skip


def _fill(connection: psycopg.Connection[Any], count: int, projects: int, role: str) -> Any:
    connection.execute("select loci.add_embedding_model('bench', provider => 'hash', dimensions => 256)")
    connection.execute("select loci.use_embedding_model('bench')")
    user = one(
        connection, "insert into loci.users (email, db_role) values ('c@example.org', %s) returning user_id", role
    )
    named = one(connection, "insert into loci.users (email) values ('n@example.org') returning user_id")
    organization = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    connection.execute("insert into loci.organizations (name) values ('Others')")
    connection.execute(
        "insert into loci.organization_members (organization_id, user_id) select %s, unnest(%s::uuid[])",
        (organization, [user, named]),
    )
    connection.execute(
        "insert into loci.projects (organization_id, name) select %s, 'p' || n from generate_series(1, %s) as n",
        (organization, projects),
    )
    connection.execute(
        "insert into loci.documents (scope_id, content) select %s, 'In document ' || n || ' is written: ' || md5(n::text) || "
        "repeat(' and so on', 20) from generate_series(1, %s) as n",
        (organization, count),
    )
    while one(connection, "select pending from loci.progress where source = 'documents'"):
        connection.execute("call loci.drain()")
    connection.execute("vacuum analyze")
    return named


def _as(dsn: str, role: str | None) -> str:
    """For pgbench: as this role with its password, over the same socket or address."""
    return dsn if role is None else make_conninfo(dsn, user=role, password="bench")


def _run(program: str, dsn: str, script: str, seconds: int, clients: int, *more: str) -> subprocess.Popen[str]:
    # A connection string is given as dbname; what else it needs is in it.
    folder = tempfile.mkdtemp(prefix="loci-bench-")
    path = Path(folder) / "script.sql"
    path.write_text(script + "\n")
    target = " ".join(f"{key}='{value}'" for key, value in conninfo_to_dict(dsn).items() if value is not None)
    return subprocess.Popen(
        [program, "-n", "-M", "prepared", "-c", str(clients), "-j", str(clients), "-T", str(seconds), "-f", str(path), *more, target],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(output)
    return output


def _times(program: str, dsn: str, script: str, seconds: int) -> list[float]:
    """Milliseconds of each transaction of one client, after a tenth to warm up."""
    with tempfile.TemporaryDirectory(prefix="loci-bench-") as folder:
        _finish(_run(program, dsn, script, seconds, 1, "-l", f"--log-prefix={folder}/log"))
        lines = "".join(path.read_text() for path in Path(folder).glob("log*")).splitlines()
    times = [int(line.split()[2]) / 1000 for line in lines]
    return times[len(times) // 10 :]


def _rate(program: str, dsn: str, script: str, seconds: int) -> float:
    output = _finish(_run(program, dsn, script, seconds, 2))
    return next(float(line.split()[2]) for line in output.splitlines() if line.startswith("tps"))


def _writer(dsn: str, program: str, seconds: int) -> subprocess.Popen[str]:
    script = (
        "insert into loci.documents (scope_id, content) select organization_id, 'other' from loci.organizations "
        "where name = 'Others';"
    )
    return _run(program, dsn, script, 2 * seconds, 1)


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    bars(
        axes,
        [str(row[0]) for row in result.rows],
        [float(row[3]) for row in result.rows],
        "statements a second, 2 clients",
    )
    limit(axes, 10000, "budget for a hit: 10,000 a second")
