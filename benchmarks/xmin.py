"""pgbench beside a drain whose gateway takes a second, against pgbench alone: does waiting for a model hold anything up?

Phases alternate: alone, beside a drain, and (to show what is being avoided) beside one transaction that keeps its snapshot.
In each, transactions a second, the age of the oldest snapshot, and the dead rows that VACUUM has to leave in the end.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median
from benchmarks._pipeline import MODEL, add_model, fill, gateway, one, pgbench, start_again, use_gateway

_PHASES = ("alone", "beside a drain", "beside a kept snapshot")
_COLORS = dict(zip(_PHASES, ("tab:blue", "tab:green", "tab:red"), strict=True))
_BUDGET = 0.95
# The drain always waits for its gateway and asks for little: it takes no core away from pgbench.
_TEXTS_A_REQUEST = 10


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--xmin-seconds", type=int, default=20, help="seconds of a phase (20)")
    parser.add_argument("--xmin-rounds", type=int, default=3, help="how often the phases alternate (3)")
    parser.add_argument("--xmin-scale", type=int, default=10, help="scale of pgbench (10)")
    parser.add_argument("--xmin-clients", type=int, default=2, help="clients of pgbench (2)")
    parser.add_argument("--xmin-dimensions", type=int, default=1536, help="dimensions of the drain's vectors (1536)")
    parser.add_argument("--xmin-latency", type=float, default=1, help="seconds the gateway takes (1)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    seconds, rounds, latency = arguments.xmin_seconds, arguments.xmin_rounds, arguments.xmin_latency
    figures: dict[str, dict[str, list[float]]] = {
        phase: {"tps": [], "dead": [], "xmin": [], "embedded": []} for phase in _PHASES
    }
    samples: list[dict[str, Any]] = []
    with psycopg.connect(dsn, autocommit=True) as connection, gateway(arguments.xmin_dimensions, latency) as address:
        program = pgbench(connection)
        subprocess.run(
            [program, "--initialize", "--quiet", f"--scale={arguments.xmin_scale}", dsn],
            check=True,
            capture_output=True,
        )
        table = add_model(connection, arguments.xmin_dimensions, max_batch=_TEXTS_A_REQUEST)
        use_gateway(connection, address, concurrency=1)
        fill(connection, int(seconds / max(latency, 0.05) * _TEXTS_A_REQUEST * 1.5) + 100)
        # Once for nothing: caches fill, files grow.
        _pgbench(program, dsn, arguments.xmin_clients, max(seconds // 4, 1))
        for _ in range(rounds):
            for phase in _PHASES:
                start_again(connection, table, queued=phase == "beside a drain")
                connection.execute("vacuum pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history")
                beside: dict[str, AbstractContextManager[None]] = {
                    "beside a drain": _draining(dsn, table),
                    "beside a kept snapshot": _keeping(dsn),
                }
                with beside.get(phase, nullcontext()), _watching(dsn) as ages:
                    offset = samples[-1]["at"] + 1 if samples else 0.0
                    tps, over_time = _pgbench(program, dsn, arguments.xmin_clients, seconds)
                    dead = _left_by_vacuum(connection)
                    embedded = one(connection, f"select count(*) from {table}")
                for name, value in (
                    ("tps", tps), ("dead", dead), ("embedded", embedded), ("xmin", max(age for _, age in ages)),
                ):  # fmt: skip
                    figures[phase][name].append(float(value))
                samples += [{"phase": phase, "at": offset + at, "tps": rate} for at, rate in over_time]
                samples += [{"phase": phase, "at": offset + at, "xmin": age} for at, age in ages if at <= seconds]
                samples.sort(key=lambda sample: sample["at"])
    reference = median(figures["alone"]["tps"])
    rows: list[Sequence[str | float | int]] = [
        (
            f"pgbench {phase}", median(found["tps"]), median(found["tps"]) / reference, median(found["dead"]),
            median(found["xmin"]), median(found["embedded"]), f">= {_BUDGET}" if phase == "beside a drain" else "",
        )
        for phase, found in figures.items()
    ]  # fmt: skip
    return Result(
        title="pgbench beside a drain that waits for its gateway",
        columns=[
            "what", "transactions/s", "share of alone", "dead rows VACUUM left", "oldest snapshot, transactions",
            "chunks embedded", "must reach",
        ],
        rows=rows,
        parameters={
            "seconds a phase": seconds, "rounds": rounds, "scale": arguments.xmin_scale,
            "clients": arguments.xmin_clients, "gateway seconds": latency, "texts a request": _TEXTS_A_REQUEST,
            "requests in flight": 1,
        },
        notes=[
            "Medians of the rounds. oldest snapshot: the largest age(backend_xmin) seen in the database, ten times a second.",
            "dead rows: of pgbench's tables, by a VACUUM at the end of each phase, before the drain is stopped.",
            "The drain is kept small, so that what is measured is what it holds, not the processor that indexing takes.",
        ],
        series={"samples": samples, "model": MODEL},
    )  # fmt: skip


def _pgbench(program: str, dsn: str, clients: int, seconds: int) -> tuple[float, list[tuple[float, float]]]:
    """Transactions a second, overall and each second."""
    done = subprocess.run(
        [program, "--no-vacuum", f"--client={clients}", f"--jobs={clients}", f"--time={seconds}", "--progress=1", dsn],
        capture_output=True,
        text=True,
        check=True,
    )
    over_time = re.findall(r"^progress: ([\d.]+) s, ([\d.]+) tps", done.stderr, re.MULTILINE)
    overall = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if overall is None:
        raise RuntimeError(f"pgbench said: {done.stdout}")
    return float(overall.group(1)), [(float(at), float(tps)) for at, tps in over_time]


def _left_by_vacuum(connection: psycopg.Connection[Any]) -> int:
    """Dead rows of pgbench's tables that somebody's snapshot keeps VACUUM from removing."""
    said: list[str] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        said.append(notice.message_primary or "")

    connection.add_notice_handler(listen)
    try:
        connection.execute("vacuum (verbose) pgbench_accounts, pgbench_branches, pgbench_tellers")
    finally:
        connection.remove_notice_handler(listen)
    return sum(map(int, re.findall(r"(\d+) are dead but not yet removable", "\n".join(said))))


@contextmanager
def _draining(dsn: str, table: str) -> Iterator[None]:
    """From its first vectors on."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        errors: list[psycopg.Error] = []

        def work() -> None:
            try:
                connection.execute("call loci.drain(3600)")
            except psycopg.errors.QueryCanceled:
                pass
            except psycopg.Error as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            with psycopg.connect(dsn, autocommit=True) as other:
                while thread.is_alive() and not one(other, f"select exists (select from {table})"):
                    time.sleep(0.05)
            yield
        finally:
            while thread.is_alive():
                connection.cancel_safe()
                thread.join(0.5)
        if errors:
            raise errors[0]
        if not one(connection, f"select exists (select from {table})"):
            raise RuntimeError("the drain embedded nothing: see loci.failures")


@contextmanager
def _keeping(dsn: str) -> Iterator[None]:
    with psycopg.connect(dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select count(*) from pgbench_branches")
        yield


@contextmanager
def _watching(dsn: str) -> Iterator[list[tuple[float, int]]]:
    """Seconds since the beginning and the age of the oldest snapshot, ten times a second."""
    ages: list[tuple[float, int]] = []
    stop = threading.Event()

    def watch() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            begun = time.monotonic()
            while not stop.is_set():
                age = one(
                    connection,
                    "select coalesce(max(age(backend_xmin)), 0) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()",
                )
                ages.append((time.monotonic() - begun, age))
                stop.wait(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield ages
    finally:
        stop.set()
        thread.join()


def plot(result: Result, figure: Figure) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    samples = result.series["samples"]
    for phase, color in _COLORS.items():
        for axes, what in ((above, "tps"), (below, "xmin")):
            points = [(sample["at"], sample[what]) for sample in samples if sample["phase"] == phase and what in sample]
            axes.scatter(*zip(*points, strict=True), s=6, color=color, label=f"pgbench {phase}")
    alone = float(result.rows[0][1])
    above.axhline(
        _BUDGET * alone, color="black", linestyle="--", label=f"budget beside a drain: {_BUDGET} x median alone"
    )
    above.set_ylim(bottom=0)
    above.set_ylabel("transactions a second")
    above.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.03))
    below.set_yscale("symlog", linthresh=100)
    below.set_ylim(bottom=0)
    below.set_ylabel("age of the oldest snapshot,\ntransactions")
    below.set_xlabel("seconds, phases one after the other")
