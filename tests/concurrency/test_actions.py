"""Two decide about one proposal at the same time: one runs it, the other gets what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from tests.actions import Shop, open_shop
from tests.database import Connection, Database
from tests.pipeline.background import Background, wait_for_lock


@pytest.fixture(scope="module")
def shop(db: Database) -> Iterator[Shop]:
    with open_shop(db) as shop:
        yield shop


@contextmanager
def second_session(shop: Shop, user: UUID, isolation: str = "read committed") -> Iterator[Connection]:
    """Another login of a user who decides, in an open transaction; results of what it is told go to a table."""
    with shop.db.connect(shop.desk) as connection:
        connection.execute(f"begin isolation level {isolation}")  # type: ignore[call-overload]
        connection.execute("select loci.act_as(%s)", (user,))
        connection.execute("create temporary table told (status text, result jsonb, error jsonb, ran boolean)")
        yield connection


def confirming(connection: Connection, proposal: UUID) -> Background:
    return Background(connection, f"insert into told select * from loci.confirm('{proposal}')")


def told(connection: Connection) -> dict[str, object]:
    (row,) = connection.execute("select * from told").fetchall()
    return row


def test_one_runs_and_the_other_gets_its_result(shop: Shop) -> None:
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "twice"})
    with second_session(shop, ada) as second:
        with shop.desk_for(ada) as first:
            (done,) = first.execute("select * from loci.confirm(%s)", (proposal,)).fetchall()
            waiting = confirming(second, proposal)
            wait_for_lock(shop.db, waiting, "the second waits for the first")
        waiting.finish()
        assert told(second) == {**done, "ran": False}
        second.execute("commit")
    assert done["ran"]
    assert shop.orders("twice") == 1


def test_where_the_first_is_undone_the_second_runs(shop: Shop) -> None:
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "second chance"})
    with second_session(shop, ada) as second:
        with pytest.raises(ZeroDivisionError), shop.desk_for(ada) as first:
            first.execute("select loci.confirm(%s)", (proposal,))
            waiting = confirming(second, proposal)
            wait_for_lock(shop.db, waiting, "the second waits for the first")
            raise ZeroDivisionError
        waiting.finish()
        assert (told(second)["status"], told(second)["ran"]) == ("confirmed", True)
        second.execute("commit")
    assert shop.orders("second chance") == 1


def test_rejecting_waits_for_confirming(shop: Shop) -> None:
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "both ways"})
    with second_session(shop, ada) as second:
        with shop.desk_for(ada) as first:
            first.execute("select loci.confirm(%s)", (proposal,))
            rejecting = Background(second, f"select loci.reject('{proposal}')")
            wait_for_lock(shop.db, rejecting, "rejecting waits")
        rejecting.wait()
    assert rejecting.error is not None and rejecting.error.sqlstate == "LC742"
    assert shop.proposal(proposal)["status"] == "confirmed"


def test_confirming_waits_for_rejecting(shop: Shop) -> None:
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "too late"})
    with second_session(shop, ada) as second:
        with shop.desk_for(ada) as first:
            first.execute("select loci.reject(%s)", (proposal,))
            waiting = confirming(second, proposal)
            wait_for_lock(shop.db, waiting, "confirming waits")
        waiting.wait()
    assert waiting.error is not None and waiting.error.sqlstate == "LC742"
    assert shop.orders("too late") == 0


def test_with_a_snapshot_it_is_told_to_try_again(shop: Shop) -> None:
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "snapshot"})
    with second_session(shop, ada, "repeatable read") as second:
        second.execute("select from loci.proposals")
        with shop.desk_for(ada) as first:
            first.execute("select loci.confirm(%s)", (proposal,))
            waiting = confirming(second, proposal)
            wait_for_lock(shop.db, waiting, "the second waits for the first")
        waiting.wait()
    assert isinstance(waiting.error, psycopg.errors.SerializationFailure)
    assert shop.orders("snapshot") == 1


def test_a_session_that_dies_while_it_runs_leaves_the_proposal(shop: Shop) -> None:
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "killed"})
    with shop.db.connect() as blocker:
        blocker.execute("begin")
        blocker.execute("lock table public.orders in access exclusive mode")
        with second_session(shop, ada) as second:
            running = confirming(second, proposal)
            wait_for_lock(shop.db, running, "the action waits")
            shop.db.execute("select pg_terminate_backend(%s)", running.pid)
            running.wait()
        blocker.execute("rollback")
    assert shop.proposal(proposal)["status"] == "proposed"
    assert shop.confirm(ada, proposal)["status"] == "confirmed"
    assert shop.orders("killed") == 1


def test_a_cancelled_action_can_be_confirmed_again_in_the_same_session(shop: Shop) -> None:
    """Nothing of the interrupted one is left in the process."""
    ada = shop.people.ada
    proposal = shop.propose(ada, {"title": "cancelled"})
    with shop.db.connect(shop.desk) as session, shop.db.connect() as blocker:
        blocker.execute("begin")
        blocker.execute("lock table public.orders in access exclusive mode")
        session.execute("begin")
        session.execute("select loci.act_as(%s)", (ada,))
        running = Background(session, f"select loci.confirm('{proposal}')")
        wait_for_lock(shop.db, running, "the action waits")
        shop.db.execute("select pg_cancel_backend(%s)", running.pid)
        running.wait()
        assert isinstance(running.error, psycopg.errors.QueryCanceled)
        session.execute("rollback")
        blocker.execute("rollback")
        with session.transaction():
            session.execute("select loci.act_as(%s)", (ada,))
            (done,) = session.execute("select * from loci.confirm(%s)", (proposal,)).fetchall()
    assert (done["status"], done["ran"]) == ("confirmed", True)
    assert shop.orders("cancelled") == 1
