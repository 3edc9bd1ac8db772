"""Plain text for a terminal: tables as psql draws them, a progress bar, and lengths of time."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO
from unicodedata import category, east_asian_width


def width() -> int:
    """Columns to use: as many as the terminal has, 80 to 100."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 80), 100)


def bold(text: str, stream: TextIO | None = None) -> str:
    """Emphasised where that can be shown."""
    stream = stream or sys.stdout
    if not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[1m{text}\033[0m"


def _columns(text: str) -> int:
    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def _pad(text: str, size: int, right: bool) -> str:
    fill = " " * max(0, size - _columns(text))
    return fill + text if right else text + fill


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[int] = ()
) -> str:
    """A table in psql's style; long cells go on in the next line. right: numbers of the columns aligned to the right."""
    lines = [
        "|".join(f" {name:^{size}} " for name, size in zip(headings, widths, strict=True)).rstrip(),
        "+".join("-" * (size + 2) for size in widths),
    ]
    for row in rows:
        cells = [
            [line for part in (cell.split("\n") or [""]) for line in (textwrap.wrap(part, size) or [""])]
            for cell, size in zip(row, widths, strict=True)
        ]
        for number in range(max(len(cell) for cell in cells)):
            parts = [
                " " + _pad(cell[number] if number < len(cell) else "", size, column in right) + " "
                for column, (cell, size) in enumerate(zip(cells, widths, strict=True))
            ]
            lines.append("|".join(parts).rstrip())
    lines.append(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """As in 0:07 or 12:34."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Bar:
    """A progress bar: one line drawn again and again on a terminal, a line now and then elsewhere."""

    _EVERY = 10.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._full, self._empty = "#", "."
        if (self._stream.encoding or "").lower().replace("-", "") == "utf8":
            self._full, self._empty = "█", "░"
        self._said = float("-inf")
        self._drawn = False

    def draw(self, percent: float, text: str, now: float) -> None:
        """now: seconds of some clock that only goes forward."""
        if not self._live and now - self._said < self._EVERY:
            return
        self._said = now
        done = int(24 * min(max(percent, 0.0), 100.0) / 100)
        line = f"   {self._full * done}{self._empty * (24 - done)} {percent:5.1f} %  {text}"
        if self._live:
            self._stream.write(f"\r\033[K{line[: width()]}")
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
        self._drawn = True

    def end(self) -> None:
        """Whatever is written next starts on a line of its own, and the bar is gone."""
        if self._live and self._drawn:
            self._stream.write("\r\033[K")
            self._stream.flush()
        self._drawn = False
