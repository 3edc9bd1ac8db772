"""loci.remember() in one scope that is full, beside a plain INSERT of the same row, with eight clients of pgbench.

Every memory is new, so that each one evicts another. While they write somebody counts, again and again: a scope that ever held
more than its capacity ends the benchmark. The phases alternate, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
from matplotlib.figure import Figure
from psycopg.conninfo import make_conninfo

from benchmarks import Result, median, percentile
from benchmarks._pipeline import MODEL, one, pgbench
from benchmarks._plots import bars, limit

_BUDGET = 1000
_WORDS = "' in the morning the harbour master wrote down what he had been told about the ships and their cargo'"
_PLAIN = f"""insert into plain_memories (scope_id, memory_type, content, content_hash, importance, metadata, created_by, created_at)
values ('{{scope}}', 'semantic', {{text}} || {_WORDS}, sha256(({{text}} || {_WORDS})::bytea), 0.5, '{{{{}}}}', '{{user}}', now());"""
_REMEMBER = f"select loci.remember({{text}} || {_WORDS}, scope_id => '{{scope}}');"
# Unlike any other text that a client has said or will say.
_TEXT = ":round || '.' || :client_id || '.' || :n"


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--remember-seconds", type=int, default=15, help="seconds of a phase (15)")
    parser.add_argument("--remember-rounds", type=int, default=3, help="how often the phases alternate (3)")
    parser.add_argument("--remember-clients", type=int, default=8, help="clients that write (8)")
    parser.add_argument("--remember-capacity", type=int, default=1000, help="memories that the scope may hold (1000)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    clients, capacity = arguments.remember_clients, arguments.remember_capacity
    with psycopg.connect(dsn, autocommit=True) as admin:
        program = pgbench(admin)
        role = f"{admin.info.dbname}_app"
        admin.execute(f"create role \"{role}\" login password 'bench' in role loci_app".encode())
        try:
            user, scope = _fill(admin, role, capacity)
            target = make_conninfo(dsn, user=role, password="bench")
            named = f"begin;\nselect loci.act_as('{user}');\n{{}}\ncommit;"
            phases: dict[str, tuple[str, AbstractContextManager[None]]] = {}
            rates: dict[str, list[float]] = {}
            times: dict[str, list[float]] = {}
            counted = largest = 0
            for number in range(arguments.remember_rounds):
                phases = {
                    "plain INSERT": (_PLAIN, nullcontext()),
                    "plain INSERT, after act_as()": (named.format(_PLAIN), nullcontext()),
                    "remember": (named.format(_REMEMBER), nullcontext()),
                    "remember, beside a drain": (named.format(_REMEMBER), _draining(dsn)),
                }
                for what, (template, beside) in phases.items():
                    script = (
                        f"\\set n random(1, 1000000000000)\n{template.format(text=_TEXT, scope=scope, user=user)}\n"
                    )
                    round_name = f"{number}{list(phases).index(what)}"
                    with beside, _counting(dsn, scope) as counts:
                        rate, taken = _pgbench(program, target, script, clients, arguments.remember_seconds, round_name)
                    if max(counts) > capacity:
                        raise RuntimeError(f"the scope held {max(counts)} memories; {capacity} is its capacity")
                    if what.startswith("remember"):
                        counted, largest = counted + len(counts), max(largest, *counts)
                    rates.setdefault(what, []).append(rate)
                    times.setdefault(what, []).extend(taken)
                    # Each phase begins with queue and tables in order.
                    while one(admin, "select sum(pending) from loci.progress"):
                        admin.execute("call loci.drain()")
                    admin.execute("vacuum analyze")
            held = one(admin, "select count(*) from loci_private.memories where scope_id = %s", scope)
            if held != capacity:
                raise RuntimeError(f"the scope holds {held} memories in the end, not {capacity}")
        finally:
            admin.execute(f'drop owned by "{role}"'.encode())
            admin.execute(f'drop role "{role}"'.encode())
    reference = median(rates["plain INSERT"])
    rows: list[Sequence[str | float | int]] = [
        (
            what, median(rates[what]), median(rates[what]) / reference, median(times[what]), percentile(times[what], 95),
            f">= {_BUDGET:,}/s" if what == "remember" else "",
        )
        for what in rates
    ]  # fmt: skip
    return Result(
        title="Remembering in a full scope",
        columns=["what", "a second", "share of INSERT", "median ms", "p95 ms", "must reach"],
        rows=rows,
        parameters={
            "clients": clients, "capacity": capacity, "seconds a phase": arguments.remember_seconds,
            "rounds": arguments.remember_rounds, "counts": counted, "most memories seen": largest,
            "model": "hash, 384 dimensions",
        },
        notes=[
            "Medians of the rounds; times of transactions are those of all rounds. Each is a transaction of an application, prepared.",
            "The plain table has the same texts and a primary key, nothing else: no limit, no check, no index to find what is "
            "the same, nothing to be searched.",
            "No model is asked while somebody remembers: vectors are made by the drain. Its provider is hash, so that little of "
            "a model's time is in it. pgbench shares the processors with the server.",
            "counts: how often the memories of the scope were counted while they were written; more than its capacity is an error.",
        ],
    )  # fmt: skip


def _fill(admin: psycopg.Connection[Any], role: str, capacity: int) -> tuple[Any, Any]:
    """A user and a scope that is full."""
    admin.execute("select loci.add_embedding_model(%s, provider => 'hash', dimensions => 384)", (MODEL,))
    admin.execute("select loci.use_embedding_model(%s)", (MODEL,))
    user = one(admin, "insert into loci.users (email) values ('bench@example.org') returning user_id")
    scope = one(admin, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    admin.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", (scope, user))
    admin.execute("select loci.set_capacity(%s, %s)", (str(scope), capacity))
    admin.execute(
        "create table plain_memories (memory_id bigint generated always as identity primary key, scope_id uuid, memory_type text, "
        "content text, content_hash bytea, importance real, metadata jsonb, created_by uuid, created_at timestamptz)"
    )
    admin.execute(f'grant insert on plain_memories to "{role}"'.encode())
    with admin.transaction():
        admin.execute("set local session authorization " + f'"{role}"')
        admin.execute("select loci.act_as(%s)", (user,))
        admin.execute(
            "select loci.remember('one of the first memories: ' || n, scope_id => %s) from generate_series(1, %s) as n",
            (scope, capacity),
        )
    while one(admin, "select sum(pending) from loci.progress"):
        admin.execute("call loci.drain()")
    admin.execute("vacuum analyze")
    return user, scope


def _pgbench(program: str, dsn: str, script: str, clients: int, seconds: int, name: str) -> tuple[float, list[float]]:
    """Transactions a second, and milliseconds of each."""
    with tempfile.TemporaryDirectory(prefix="loci-bench-") as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        done = subprocess.run(
            [
                program, "--no-vacuum", "--protocol=prepared", f"--client={clients}", "--jobs=2", f"--time={seconds}",
                f"--define=round={name}", f"--file={path}", "--log", f"--log-prefix={folder}/log", dsn,
            ],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        lines = "".join(found.read_text() for found in Path(folder).glob("log*")).splitlines()
    rate = next(float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps"))
    return rate, [int(line.split()[2]) / 1000 for line in lines]


@contextmanager
def _beside(dsn: str, act: Any) -> Iterator[None]:
    """Do it over and over in a connection of its own; what fails there fails here."""
    stop, errors = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                while not stop.is_set():
                    act(connection)
                    stop.wait(0.05)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def _counting(dsn: str, scope: Any) -> Iterator[list[int]]:
    """How many memories the scope holds, again and again."""
    counts: list[int] = []
    query = "select count(*) from loci_private.memories where scope_id = %s"
    with _beside(dsn, lambda connection: counts.append(one(connection, query, scope))):
        yield counts


def _draining(dsn: str) -> AbstractContextManager[None]:
    return _beside(dsn, lambda connection: connection.execute("call loci.drain(5)"))


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    bars(
        axes,
        [str(row[0]) for row in result.rows],
        [float(row[1]) for row in result.rows],
        f"transactions a second, {result.parameters['clients']} clients",
    )
    limit(axes, _BUDGET, f"budget of remember: {_BUDGET:,} a second")
