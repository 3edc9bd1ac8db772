"""python -m benchmarks._sizing CHUNKS DIMENSIONS: what so many chunks would take, extrapolated from benchmarks/results.

Nothing here is measured at that size. Room and load grow in proportion; a search in the index with the logarithm of the rows.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
# A page of 8 kB holds whole vectors; an entry of the graph is the vector and its neighbours (m = 16, both ways).
_PAGE, _HEADER, _GRAPH = 8192, 100, 300


def _rows(name: str) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    found = json.loads((RESULTS / f"{name}.json").read_text())
    key = 2 if name == "drain" else 1
    return found, {" | ".join(map(str, row[:key])): row for row in found["rows"]}


def extrapolate(chunks: int, dimensions: int, text_bytes: int = 1600) -> list[tuple[str, str, str]]:
    """What, how much, from what."""
    bulk, load = _rows("bulk_load")
    _, drained = _rows("drain")
    filtered, _ = _rows("filtered")
    vector = dimensions * 2 + 8
    whole = _PAGE / (_PAGE // (vector + _HEADER)) if vector + _HEADER < _PAGE else 2 * vector
    table, graph = chunks * whole, chunks * (_PAGE / max(_PAGE // (vector + _GRAPH), 1))
    text = chunks * text_bytes * 2.5
    build = load["HNSW index built afterwards"][1]
    first = drained["first load | drain, 2 sessions, gateway 100 ms"][2]
    later = drained["index in place | drain, 2 sessions, gateway 100 ms"][2]
    split = drained[" | split into chunks, 1 session"][2]
    widest = max(filtered["rows"], key=lambda row: row[2])
    grown = widest[13] * math.log(max(chunks, 2)) / math.log(widest[2])
    scale = dimensions / bulk["parameters"].get("dimensions", 1536)
    return [
        ("vectors, table", f"{table / 1e9:,.1f} GB", "computed: halfvec, whole rows in a page"),
        ("vectors, HNSW index", f"{graph / 1e9:,.1f} GB", "computed; should fit into memory"),
        ("texts, words, their indexes", f"{text / 1e9:,.1f} GB", f"{text_bytes} bytes a chunk, two and a half times"),
        ("splitting, one drain", f"{chunks / split / 60:,.1f} h", f"drain.json: {split:,.0f} a minute"),
        (
            "embedding, first load, two drains",
            f"{chunks / first / 60:,.1f} h",
            f"drain.json: {first:,.0f} a minute, gateway 100 ms",
        ),
        (
            "index built afterwards",
            f"{chunks / build * scale / 60:,.1f} h",
            f"bulk_load.json: {build:,.0f} a minute, if maintenance_work_mem holds it",
        ),
        (
            "growth with the index in place",
            f"{later * 60 * 24 / 1e6:,.1f} million a day",
            f"drain.json: {later:,.0f} a minute",
        ),
        (
            "vector search, all visible, p95",
            f"{grown:,.0f} ms",
            f"filtered.json: {widest[13]:,.1f} ms of {widest[2]:,}, {filtered['parameters']['dimensions']} dimensions, in memory",
        ),
    ]


def main() -> None:
    chunks, dimensions = (int(argument.replace("_", "")) for argument in sys.argv[1:3])
    found = json.loads((RESULTS / "drain.json").read_text())
    print(f"{chunks:,} chunks of {dimensions} dimensions, EXTRAPOLATED from a machine with {found['cores']} cores:")
    for what, much, source in extrapolate(chunks, dimensions):
        print(f"  {what:33} {much:>20}   {source}")


if __name__ == "__main__":
    main()
