"""Benchmarks run and say what they found; with tiny sizes, so that no figure means anything."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.__main__ import names
from tests.database import ROOT

TINY = {
    "abstention": ["--abstention-chats=2", "--abstention-provider=hash", "--abstention-data={data}"],
    "cache": ["--cache-rows=20", "--cache-projects=2", "--cache-seconds=1"],
    "bulk_load": ["--load-rows=20", "--load-dimensions=8"],
    "hybrid": ["--hybrid-chunks=60", "--hybrid-queries=2"],
    "keyword": ["--keyword-chunks=60", "--keyword-queries=2"],
    "drain": ["--drain-chunks=20", "--drain-dimensions=8", "--drain-latency=1"],
    "turns": ["--turn-messages=20", "--turn-documents=10", "--turn-rounds=2"],
    "remember": ["--remember-seconds=1", "--remember-rounds=1", "--remember-clients=2", "--remember-capacity=5"],
    "search": ["--rows=30", "--queries=2"],
    "shim": ["--shim-rounds=2", "--shim-documents=10", "--shim-pieces=3", "--shim-streams", "1", "3"],
    "soak": ["--soak-seconds=3", "--soak-documents=20", "--soak-dimensions=8"],
    "watched_insert": ["--insert-rows=20", "--insert-rounds=1"],
    "xmin": [
        "--xmin-seconds=1", "--xmin-rounds=1", "--xmin-scale=1", "--xmin-clients=1", "--xmin-dimensions=8",
        "--xmin-latency=0.5",
    ],
}  # fmt: skip


# These read data that is not in the repository.
FROM_ELSEWHERE = {"filtered", "quality"}


def chats(folder: Path) -> Path:
    """Data of the form that BEAM has."""
    (folder / "beam").mkdir(parents=True, exist_ok=True)
    for number, thing in ((1, "harbour"), (2, "lighthouse")):
        messages = [
            {"id": n, "role": "user", "time_anchor": "March", "content": f"The {thing} has {n} lamps."}
            for n in range(5)
        ]
        questions = [
            {"category": "abstention", "question": "Who is the king of France?", "evidence": []},
            {"category": "information_extraction", "question": f"How many lamps has the {thing}?", "evidence": [4]},
        ]
        (folder / "beam" / f"{number}.json").write_text(json.dumps({"messages": messages, "questions": questions}))
    return folder


def test_none_is_left_out() -> None:
    assert set(names()) == set(TINY) | FROM_ELSEWHERE


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_they_run(dsn_of: Callable[[str], str], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # The server in a container does not reach a gateway of this machine's.
    far = request.config.getoption("--server") == "docker"
    run = [name for name in sorted(TINY) if not far or name not in ("drain", "soak", "xmin")]
    sizes = [size.format(data=chats(tmp_path / "data")) for name in run for size in TINY[name]]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *run, "--results", str(tmp_path), *sizes],
        cwd=ROOT,
        env={**os.environ, "LOCI_DSN": dsn_of("postgres")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in run:
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["name"] == name
        assert found["rows"] and all(len(row) == len(found["columns"]) for row in found["rows"])
        table = (tmp_path / f"{name}.md").read_text()
        assert table in done.stdout
        assert table.startswith(f"# {found['title']}\n")
        assert all(f"| {row[0]} |" in table for row in found["rows"])
        # A picture, of the size it was meant to have.
        assert (tmp_path / f"{name}.png").read_bytes()[:24].endswith(b"\0\0\x04\x38\0\0\x02\x58")


@pytest.mark.parametrize(
    ("what", "values", "level"),
    [
        ("level", lambda at: 100.0, True),
        ("noisy", lambda at: 100.0 + 20 * (int(at) % 2), True),
        # While caches fill, before the half that counts.
        ("warming up", lambda at: min(at, 600) / 6, True),
        ("falling", lambda at: 1000 - at / 2, True),
        ("a leak", lambda at: 100 + at / 20, False),
        ("a slow leak in much", lambda at: 1000 + at / 6, False),
        ("within its share", lambda at: 1000 + at / 20, True),
        ("small", lambda at: at / 200, True),
    ],
)
def test_the_soak_tells_growth_from_noise(what: str, values: Callable[[float], float], level: bool) -> None:
    samples = [(float(at), values(at)) for at in range(0, 1200, 6)]
    assert soak.verdict(samples, 0.05, 4.0)["level"] is level, what


def test_the_soak_judges_what_it_has() -> None:
    for samples in ([], [(0.0, 5.0)], [(3.0, 5.0), (3.0, 6.0)]):
        assert soak.verdict(samples, 0.05, 4.0)["level"]


@pytest.mark.parametrize("name", names())
def test_module_says_what_it_measures(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__ and "\n\n" in module.__doc__
    assert callable(module.run) and callable(module.plot)
