"""A streaming replica of a private server (pg_basebackup, standby.signal, hot_standby), or a server of its own made of a copy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType

import psycopg

from tests.servers.local_server import FAST, LocalServer


class Standby:
    """home: directory that is made and removed by this class; it must be open to the OS user postgres.

    copy: data directory that pg_basebackup made; started as a server of its own, no replica.
    """

    def __init__(self, primary: LocalServer, home: Path, *, copy: Path | None = None) -> None:
        self.home = home
        self._copy = copy
        self._primary = primary
        with psycopg.connect(primary.dsn()) as connection:
            row = connection.execute(
                "select current_setting('data_directory'), current_setting('unix_socket_directories'), "
                "(select setting from pg_config where name = 'BINDIR')"
            ).fetchone()
        assert row is not None
        self._data, self._socket, self._bin = row
        # As docker/cluster.sh starts the primary: with the package it has.
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{primary.home}/python",
            "PYTHONNOUSERSITE": "1",
            "OMP_NUM_THREADS": "1",
            "LOCI_TEST_JWT_KEY": primary.environment["LOCI_TEST_JWT_KEY"],
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    def _run(self, *command: str) -> None:
        # PostgreSQL refuses to run as root.
        as_owner = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.getuid() == 0 else []
        )
        done = subprocess.run(
            [*as_owner, *command],
            cwd="/",
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stdout}")

    def dsn(self, dbname: str = "loci") -> str:
        return f"postgresql://postgres@/{dbname}?host={self.home}&port={self._port}"

    def dsn_as(self, role: str, password: str, dbname: str = "loci") -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self._port}/{dbname}"

    def __enter__(self) -> Standby:
        self.home.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.home, "postgres", "postgres")
        data = self._copy or self.home / "pgdata"
        if self._copy is None:
            self._run(
                f"{self._bin}/pg_basebackup", "-h", self._socket, "-p", str(self._primary.port), "-U", "postgres",
                "-D", str(data), "-R", "-X", "stream", "-c", "fast", "--no-sync",
            )  # fmt: skip
        options = f"{FAST} -c port={self._port} -c unix_socket_directories={self.home} -c hot_standby=on"
        self._run(
            f"{self._bin}/pg_ctl",
            "-D",
            str(data),
            "-l",
            str(self.home / "log"),
            "-w",
            "-t",
            "60",
            "-o",
            options,
            "start",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(f"{self._bin}/pg_ctl", "-D", str(self._copy or self.home / "pgdata"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.home, ignore_errors=True)
