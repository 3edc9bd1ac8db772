"""Benchmarks: one module each, run by `make bench` (NAME=one of them). They gate nothing; they measure.

A module has ``add_arguments(parser)``, ``run(dsn, arguments) -> Result`` and ``plot(result, figure)``. It gets a migrated
database of its own. What it measures stands beside a reference taken in the same run, because figures of two runs or
machines say little.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """A table of figures, what they were taken on, and what they say. series: what the plot shows beyond the table."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str | float | int]]
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
