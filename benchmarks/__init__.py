"""Benchmarks: one module each, run by `make bench` (NAME=one of them). They gate nothing; they measure.

A module has ``add_arguments(parser)``, ``run(dsn, arguments) -> Result`` and ``plot(result, figure)``. It gets a migrated
database of its own. What it measures stands beside a reference taken in the same run, because figures of two runs or
machines say little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg


@dataclass
class Result:
    """A table of figures, what they were taken on, and what they say. series: what the plot shows beyond the table.

    fault: what the figures show to be wrong; the run ends with it when they are written.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str | float | int]]
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def processor_ms(connection: psycopg.Connection[Any]) -> float:
    """What the server's process has computed so far; the clock where it is not on this machine."""
    try:
        return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6
    except OSError:
        return time.perf_counter() * 1000
