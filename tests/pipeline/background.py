"""Statements that run in the background, so that a test can look at them and get in their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg

from tests.database import Connection, Database, wait_until


class Background:
    """One statement in a session of its own. error: what it ended with; seconds: how long it took."""

    def __init__(self, connection: Connection, sql: str) -> None:
        self.pid = connection.info.backend_pid
        self.error: psycopg.Error | None = None
        self.seconds: float | None = None
        self._connection = connection
        self._thread = threading.Thread(target=self._run, args=(sql,), daemon=True)
        self._thread.start()

    def _run(self, sql: str) -> None:
        started = time.monotonic()
        try:
            self._connection.execute(cast(LiteralString, sql))
        except psycopg.Error as error:
            self.error = error
        self.seconds = time.monotonic() - started

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, timeout: float = 100) -> None:
        """Wait for its end, whatever that is."""
        self._thread.join(timeout)
        assert not self.running, "the statement never ended"

    def finish(self, timeout: float = 100) -> None:
        """Wait for its end, which must be a good one."""
        self.wait(timeout)
        if self.error is not None:
            raise self.error


@contextmanager
def background(db: Database, sql: str = "call loci.drain(100)", *, application: str = "drain") -> Iterator[Background]:
    """Run a statement meanwhile; it is ended at the end."""
    with db.connect() as connection:
        connection.execute("select set_config('application_name', %s, false)", (application,))
        running = Background(connection, sql)
        try:
            yield running
        finally:
            if running.running:
                db.execute("select pg_terminate_backend(%s)", running.pid)
                running.wait()


def activity(db: Database, pid: int) -> dict[str, Any] | None:
    """pg_stat_activity of a backend and its locks besides that on its own virtual transaction; None when it is gone."""
    rows = db.rows(
        """
        select a.state, a.wait_event_type, a.wait_event, a.backend_xid, a.backend_xmin, pg_blocking_pids(a.pid) as blockers,
            array(
                select distinct l.locktype || coalesce(' ' || l.relation::regclass::text, '')
                from pg_locks as l where l.pid = a.pid and l.locktype <> 'virtualxid'
            ) as locks
        from pg_stat_activity as a where a.pid = %s
        """,
        pid,
    )
    return rows[0] if rows else None


def wait_for_lock(db: Database, running: Background, what: str = "a statement waits for a lock") -> None:
    """Until it is seen waiting for a lock that somebody else holds."""

    def waits() -> bool:
        if not running.running:
            raise AssertionError(f"it ended before: {what} ({running.error})")
        return bool((activity(db, running.pid) or {}).get("blockers"))

    wait_until(waits, what)


def leased(db: Database, queue: str) -> int:
    return cast(int, db.value(f"select count(*) from loci_private.{queue} where lease is not null"))
