"""Turns of one conversation that begin or end at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database
from tests.pipeline.background import Background, background, wait_for_lock

BEGIN = "select turn_id from loci.begin_turn('{}', 'Where is the key?')"


@pytest.fixture(scope="module")
def role(db: Database) -> str:
    """A login that is a user, so that a single statement acts for them."""
    role = db.login_role("ada", "loci_app")
    ada = db.user("ada@example.org")
    db.execute("update loci.users set db_role = %s where user_id = %s", role, ada)
    db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
    return role


@pytest.fixture
def first(db: Database, role: str) -> Iterator[Connection]:
    with db.connect(role) as connection:
        yield connection


@pytest.fixture
def conversation(first: Connection) -> UUID:
    row = first.execute("insert into loci.conversations default values returning conversation_id").fetchone()
    assert row is not None
    return row["conversation_id"]  # type: ignore[no-any-return]


def turn_of(connection: Connection, conversation: UUID) -> UUID:
    row: Any = connection.execute(BEGIN.format(conversation).encode()).fetchone()
    return row["turn_id"]  # type: ignore[no-any-return]


def second(db: Database, role: str, sql: str) -> Any:
    return background(db, f"set session authorization '{role}'; {sql}", application="second")


def questions(db: Database, conversation: UUID) -> int:
    return int(db.value("select count(*) from loci.messages where conversation_id = %s", conversation))


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_turns_begin_at_once(db: Database, role: str, first: Connection, conversation: UUID, end: str) -> None:
    first.execute("begin")
    turn_of(first, conversation)
    running: Background
    with second(db, role, BEGIN.format(conversation)) as running:
        wait_for_lock(db, running, "the second one waits to hear whether the first one stands")
        first.execute(end.encode())
        running.wait()
    if end == "commit":
        assert running.error is not None and running.error.sqlstate == "LC705"
    else:
        assert running.error is None
    assert questions(db, conversation) == 1
    assert (
        db.value("select count(*) from loci_private.turns where status = 'open' and conversation_id = %s", conversation)
        == 1
    )


@pytest.mark.parametrize(("reply", "code"), [("Here.", None), ("There.", "LC708")])
def test_a_turn_ends_twice_at_once(
    db: Database, role: str, first: Connection, conversation: UUID, reply: str, code: str | None
) -> None:
    turn = turn_of(first, conversation)
    first.execute("begin")
    first.execute("select loci.finish_turn(%s, 'Here.')", (turn,))
    with second(db, role, f"select loci.finish_turn('{turn}', '{reply}')") as running:
        wait_for_lock(db, running)
        first.execute("commit")
        running.wait()
    assert (running.error.sqlstate if running.error else None) == code
    assert questions(db, conversation) == 2


def test_a_conversation_ends_while_its_turn_is_open(
    db: Database, role: str, first: Connection, conversation: UUID
) -> None:
    turn = turn_of(first, conversation)
    first.execute("begin")
    first.execute("delete from loci.conversations where conversation_id = %s", (conversation,))
    with second(db, role, f"select loci.finish_turn('{turn}', 'Here.')") as running:
        wait_for_lock(db, running)
        first.execute("commit")
        running.wait()
    assert running.error is not None and running.error.sqlstate == "LC707"


def test_whoever_closes_turns_does_not_wait(db: Database, first: Connection, conversation: UUID) -> None:
    db.set_clock("2030-01-01 12:00+00")
    turn = turn_of(first, conversation)
    db.set_clock("2030-01-01 13:00+00")
    first.execute("begin")
    first.execute("select loci.finish_turn(%s, 'Here.')", (turn,))
    with db.connect() as other:
        other.execute("set lock_timeout = '5s'")
        other.execute("select loci_private.close_turns()")
    first.execute("commit")
    db.set_clock(None)
    assert db.value("select status from loci_private.turns where turn_id = %s", turn) == "complete"


def test_repeatable_read_is_refused_rather_than_doubled(
    db: Database, role: str, first: Connection, conversation: UUID
) -> None:
    with db.connect(role) as other:
        other.execute("begin isolation level repeatable read")
        other.execute("select count(*) from loci.messages")
        turn_of(first, conversation)
        with pytest.raises(psycopg.Error) as caught:
            turn_of(other, conversation)
        assert caught.value.sqlstate in ("LC705", "40001")
        other.execute("rollback")
    assert questions(db, conversation) == 1
