"""A private server of this machine, for tests: docker/cluster.sh on a directory of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "docker" / "cluster.sh"
# Nothing here outlives its test: no write has to reach a disk.
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=128MB"


class LocalServer:
    """home: directory of the data, made and removed by this class; it must be open to the OS user postgres."""

    def __init__(self, home: Path, *, port: int = 54400) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "LOCI_DATA": str(home),
            "LOCI_DB": "loci",
            "LOCI_PORT": str(port),
            "LOCI_PG_OPTS": FAST,
            "LOCI_TEST_JWT_KEY": "a key for tests that is longer than 32 bytes",
        }

    def _cluster(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(CLUSTER), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"cluster.sh {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout.strip()

    def start(self) -> None:
        """Start it, made if need be; harmless while it runs."""
        self._cluster("start")

    def stop(self) -> None:
        self._cluster("stop")

    def kill(self) -> None:
        """SIGKILL for the server and all its processes; start() brings the same data up again."""
        self._cluster("kill")

    def remove(self) -> None:
        self._cluster("destroy")

    @property
    def settings(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._cluster("env").splitlines())

    @property
    def port(self) -> int:
        return int(self.settings["LOCI_PORT"])

    def dsn(self, dbname: str = "loci") -> str:
        return self._cluster("dsn", dbname)

    def put_file(self, path: str, content: bytes) -> None:
        """Write a file that the server can read."""
        Path(path).write_bytes(content)
        Path(path).chmod(0o644)

    def run(self, cmd: Sequence[str]) -> str:
        """Run a command beside the server."""
        return subprocess.run(list(cmd), check=True, capture_output=True, text=True).stdout

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
