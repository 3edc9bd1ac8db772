"""python -m benchmarks [NAME ...] [--list]: run benchmarks, each in a scratch database; write benchmarks/results/NAME.{json,md,png}."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks import Result

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- results -->\n", "<!-- end of results -->\n"
# It takes twenty minutes, and is no figure to compare.
_ONLY_BY_NAME = ("soak",)
_SETTINGS = (
    "shared_buffers", "work_mem", "maintenance_work_mem", "max_parallel_workers_per_gather", "jit", "random_page_cost", "fsync"
)  # fmt: skip


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


@contextmanager
def scratch_database(dsn: str, name: str, template: str = "template0") -> Iterator[str]:
    """Name of a database that is dropped in the end."""
    database = f"loci_benchmark_{name}_{os.getpid()}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(sql.Identifier(database), sql.Identifier(template))
        )
        try:
            yield database
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database)))


def migrate(dsn: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=HERE.parent,
        env={**os.environ, "LOCI_DSN": dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the migration failed")


def circumstances(dsn: str) -> dict[str, Any]:
    """Machine, versions and settings."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "select name, current_setting(name) from pg_settings where name = any(%s)", (list(_SETTINGS),)
            ).fetchall()
        )
        version = connection.execute(
            "select current_setting('server_version'), (select extversion from pg_extension where extname = 'vector'), "
            "(select version from loci_private.installation)"
        ).fetchone()
    assert version is not None
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "postgresql": version[0],
        "pgvector": version[1],
        "loci": version[2],
        "settings": {name: settings[name] for name in _SETTINGS},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _figure(value: str | float | int) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )


def markdown(name: str, around: dict[str, Any], result: Result, seconds: float) -> str:
    settings = ", ".join(f"{key} = {value}" for key, value in around["settings"].items())
    parameters = ", ".join(f"{key} = {value}" for key, value in result.parameters.items())
    lines = [
        f"# {result.title}",
        "",
        f"`make bench NAME={name}`, {around['at']}, {seconds:.0f} s.",
        "",
        f"- Machine: {around['processor']}, {around['cores']} cores, {around['memory_gb']} GB; load before: {around['load_before']}",
        f"- Versions: PostgreSQL {around['postgresql']}, pgvector {around['pgvector']}, Loci {around['loci']}",
        f"- Settings: {settings}",
        f"- Parameters: {parameters}",
        "",
        *_table(result.columns, result.rows),
        "",
        *(f"- {note}" for note in result.notes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str | float | int]]) -> list[str]:
    return [
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(_figure(value) for value in row) + " |" for row in rows),
    ]


def document() -> None:
    """Put the results into docs/benchmarks.md."""
    lines = []
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        name = path.stem
        lines += [
            f"### {found['title']}",
            "",
            f"`{name}`, {found['at']}, {found['processor']} with {found['cores']} cores and {found['memory_gb']} GB, load before "
            f"{found['load_before']}; PostgreSQL {found['postgresql'].split()[0]}, pgvector {found['pgvector']}; "
            + ", ".join(f"{key} {value}" for key, value in found["parameters"].items())
            + f". [Settings and notes](../benchmarks/results/{name}.md)",
            "",
            *_table(found["columns"], found["rows"]),
            "",
        ]
        if path.with_suffix(".png").exists():
            lines += [f"![{found['title']}](../benchmarks/results/{name}.png)", ""]
    page = PAGE.read_text()
    before, after = page.partition(_BEGIN)[0], page.partition(_END)[2]
    PAGE.write_text(before + _BEGIN + "\n" + "\n".join(lines) + _END + after)


def picture(module: ModuleType, around: dict[str, Any], result: Result, path: Path) -> None:
    """The benchmark's plot, with what it was taken on under it."""
    # The rectangle leaves room for the line at the bottom.
    figure = Figure(figsize=(9, 5), layout=ConstrainedLayoutEngine(rect=(0, 0.03, 1, 0.97)), dpi=120)
    module.plot(result, figure)
    figure.suptitle(result.title)
    figure.text(
        0.99, 0.005,
        f"{around['processor']}, {around['cores']} cores; PostgreSQL {around['postgresql'].split()[0]}, "
        f"pgvector {around['pgvector']}; {around['at']}",
        ha="right", va="bottom", fontsize=7, color="gray",
    )  # fmt: skip
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of: {', '.join(names())}; all but those that take long if none is given",
    )
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write (benchmarks/results)")
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names()}
    for name, module in modules.items():
        module.add_arguments(parser.add_argument_group(name))
    arguments = parser.parse_args()
    if arguments.list:
        for name, module in modules.items():
            print(f"{name:12} {(module.__doc__ or '').strip().splitlines()[0]}")
        return 0
    unknown = [name for name in arguments.names if name not in modules]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(modules)}")
    dsn = os.environ.get("LOCI_DSN")
    if not dsn:
        parser.error("LOCI_DSN is not set: run `make bench`")
    results: Path = arguments.results
    results.mkdir(exist_ok=True)
    with scratch_database(dsn, "template") as template:
        migrate(make_conninfo(dsn, dbname=template))
        for name in arguments.names or [name for name in modules if name not in _ONLY_BY_NAME]:
            print(f"{name}: running", file=sys.stderr)
            begun = time.monotonic()
            with scratch_database(dsn, name, template) as database:
                scratch = make_conninfo(dsn, dbname=database)
                around = circumstances(scratch)
                result: Result = modules[name].run(scratch, arguments)
            seconds = time.monotonic() - begun
            text = markdown(name, around, result, seconds)
            (results / f"{name}.md").write_text(text)
            (results / f"{name}.json").write_text(
                json.dumps({"name": name, "seconds": round(seconds, 1), **around, **asdict(result)}, indent=2) + "\n"
            )
            picture(modules[name], around, result, results / f"{name}.png")
            print(text)
            if result.fault:
                raise RuntimeError(f"{name}: {result.fault}")
    if results == RESULTS:
        document()
    return 0


if __name__ == "__main__":
    sys.exit(main())
