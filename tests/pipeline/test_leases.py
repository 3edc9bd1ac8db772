"""A lease ends with its session, at once; never sooner, whoever looks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database, People, wait_until
from tests.pipeline.background import activity, leased
from tests.pipeline.rows import consistent, indexed_keys


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


@pytest.fixture(autouse=True)
def clean(db: Database) -> Iterator[None]:
    yield
    db.execute("delete from loci.documents")
    held = "select count(*) from loci_private.leases as l join pg_stat_activity as a using (pid, backend_start)"
    wait_until(lambda: db.value(held) == 0, "the sessions that held leases have ended")
    db.drain()
    assert db.value("select count(*) from loci_private.leases") == 0
    consistent(db)


def claim(connection: Connection) -> UUID:
    """Claim all rows under a new lease."""
    row = connection.execute("select gen_random_uuid() as lease").fetchone()
    assert row is not None
    connection.execute("select loci_private.claim_rows(%s)", (row["lease"],))
    return UUID(str(row["lease"]))


@contextmanager
def worker(db: Database, role: str | None = None) -> Iterator[Connection]:
    """A session that holds all rows."""
    with db.connect(role) as connection:
        claim(connection)
        yield connection


def test_a_lease_ends_with_its_session(db: Database, people: People) -> None:
    key = str(db.document(people.acme, "held"))
    with worker(db) as holder:
        db.drain()
        assert leased(db, "row_queue") == 1 and indexed_keys(db, "documents") == set()
        pid = holder.info.backend_pid
    wait_until(lambda: activity(db, pid) is None, "the session has ended")
    db.drain()
    assert indexed_keys(db, "documents") == {key}


@pytest.mark.parametrize("holder_role", [None, "loci_worker"])
def test_sessions_of_any_role_are_seen_by_any_other(db: Database, people: People, holder_role: str | None) -> None:
    """A plain role is shown little of the sessions of others."""
    key = str(db.document(people.acme, "held"))
    drainer = db.login_role("drainer", "loci_worker")
    role = db.login_role("holder", holder_role) if holder_role else None
    with db.connect(drainer) as other:
        with worker(db, role) as holder:
            other.execute("call loci.drain()")
            assert leased(db, "row_queue") == 1 and indexed_keys(db, "documents") == set()
            pid = holder.info.backend_pid
        wait_until(lambda: activity(db, pid) is None, "the session has ended")
        other.execute("call loci.drain()")
    assert indexed_keys(db, "documents") == {key}


@pytest.mark.parametrize(
    "changed",
    [
        # Its process id belongs to another session by now.
        "backend_start = backend_start - interval '1 second'",
        # Restored from a dump, or a standby was promoted: both are of another server.
        "pid = 2147483647, backend_start = '2001-01-01'",
    ],
)
def test_a_lease_of_a_session_that_never_was_here(db: Database, people: People, changed: str) -> None:
    key = str(db.document(people.acme, "held"))
    with worker(db):
        db.execute(f"update loci_private.leases set {changed}")
        db.drain()
        assert indexed_keys(db, "documents") == {key}


def test_a_session_that_began_a_moment_ago(db: Database, people: People) -> None:
    """What a transaction has seen of other sessions stays as it was; here that would be wrong."""
    db.document(people.acme, "held")
    with db.connect() as early, early.transaction():
        early.execute("select count(*) from pg_stat_activity")
        with worker(db):
            claim(early)
            assert db.value("select count(distinct lease) from loci_private.row_queue") == 1
            (lease,) = db.rows("select lease from loci_private.row_queue")
            assert db.rows("select lease from loci_private.leases") == [lease]


def test_nobody_waits_for_who_ends_a_lease(db: Database, people: People) -> None:
    key = str(db.document(people.acme, "held"))
    with worker(db) as holder:
        pid = holder.info.backend_pid
    wait_until(lambda: activity(db, pid) is None, "the session has ended")
    with db.connect() as first, first.transaction():
        first.execute("select loci_private.free_leases()")
        db.execute("set lock_timeout = '100ms'")
        db.drain()
        assert indexed_keys(db, "documents") == set()
    db.execute("reset lock_timeout")
    db.drain()
    assert indexed_keys(db, "documents") == {key}


def test_work_that_an_application_holds_is_freed_when_it_lets_go(db: Database, people: People) -> None:
    """Its transaction removes the work and is rolled back."""
    key = str(db.document(people.acme, "held"))
    with worker(db) as holder:
        pid = holder.info.backend_pid
    wait_until(lambda: activity(db, pid) is None, "the session has ended")
    with db.connect() as app, app.transaction(force_rollback=True):
        app.execute("delete from loci_private.row_queue")
        db.drain()
        assert leased(db, "row_queue") == 1
    db.drain()
    assert indexed_keys(db, "documents") == {key}


def test_a_drain_leaves_no_lease_behind(db: Database, people: People) -> None:
    db.document(people.acme, "done")
    db.drain()
    assert db.value("select count(*) from loci_private.leases") == 0


def test_claims_follow_one_another(db: Database, people: People) -> None:
    """One that overlapped another would hold locks on what the other got, which the other could not finish then."""
    db.document(people.acme, "held")
    with db.connect() as one, db.connect() as two, ThreadPoolExecutor() as threads:
        one.execute("begin")
        claim(one)
        waiting = threads.submit(claim, two)
        wait_until(
            lambda: (activity(db, two.info.backend_pid) or {}).get("blockers") == [one.info.backend_pid],
            "the second waits for the first",
        )
        one.execute("commit")
        waiting.result()
        assert leased(db, "row_queue") == 1


def test_what_somebody_has_locked_is_not_taken_for_gone(db: Database, people: People) -> None:
    key = str(db.document(people.acme, "held"))
    with db.connect() as drain, db.connect() as other:
        lease = claim(drain)
        version = db.value("select queue_id from loci_private.row_queue")
        other.execute("begin")
        other.execute("select from loci_private.row_queue for update")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="somebody is changing this row"):
            drain.execute(
                """
                select loci_private.store_row(
                    s.source_id, %s, %s, %s, %s, null, null, '{}', 0,
                    (
                        select jsonb_agg(jsonb_build_object('chunking_id', c.chunking_id, 'chunks', jsonb_build_array()))
                        from loci_private.chunkings_of(s.source_id, %s) as c
                    ), %s, ''
                )
                from loci_private.sources as s where s.name = 'documents'
                """,
                (key, version, people.acme, people.acme, people.acme, lease),
            )
        other.execute("commit")
