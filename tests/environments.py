"""Python environments of their own, for programs that do not go into .venv: installed once a checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.database import ROOT


def variables() -> dict[str, str]:
    """This process's variables, without those that another Python would take for its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=variables(), capture_output=True, text=True, timeout=250, check=False)


def installed(name: str, requirements: Path) -> Path:
    """bin of .venv-NAME, with what requirements lock: only wheels, only those whose hashes are in it."""
    home = ROOT / f".venv-{name}"
    home.mkdir(exist_ok=True)
    stamp, programs = home / "stamp", home / "env/bin"
    wanted = f"{hashlib.sha256(requirements.read_bytes()).hexdigest()} {sys.version}"
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            pip = (
                "-m pip install --quiet --disable-pip-version-check --no-input --no-compile --require-hashes --no-deps "
                "--only-binary :all:"
            )
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(home / "env")],
                [str(programs / "python"), *pip.split(), "-r", str(requirements)],
            ):
                done = run(command)
                if done.returncode != 0:
                    reason = f"{name} cannot be installed here: {done.stderr.strip()[-500:]}"
                    # Where everything has to pass, nothing is left out quietly.
                    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
            stamp.write_text(wanted)
    return programs
