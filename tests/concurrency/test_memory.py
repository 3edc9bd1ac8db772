"""Many writers of memories in one scope: never over capacity, nobody waits for long, nothing is lost without need."""

from __future__ import annotations

import threading
from uuid import UUID

import psycopg
import pytest

from tests.database import Database, People, wait_until
from tests.pipeline.background import Background

CAPACITY = 20
WRITERS = 8
EACH = 40


@pytest.fixture
def people(db: Database) -> People:
    people = db.people()
    db.execute("select loci.set_capacity(%s, %s)", str(people.acme), CAPACITY)
    return people


def held(db: Database, scope: UUID) -> int:
    return int(db.value("select count(*) from loci_private.memories where scope_id = %s", scope))


def test_never_over_capacity(db: Database, people: People) -> None:
    role = db.app_role()
    errors: list[BaseException] = []
    over: list[int] = []
    done = threading.Event()

    def write(writer: int) -> None:
        try:
            with db.connect(role) as connection:
                for n in range(EACH):
                    with connection.transaction(force_rollback=n % 7 == 3):
                        connection.execute("select loci.act_as(%s)", (people.ada,))
                        connection.execute(
                            "select loci.remember(%s, scope_id => %s)",
                            # Every fifth is said by all of them.
                            (f"fact {n}" if n % 5 == 0 else f"fact {writer} {n}", people.acme),
                        )
        except BaseException as error:
            errors.append(error)

    def watch() -> None:
        with db.connect() as connection:
            while not done.is_set():
                row = connection.execute(
                    "select count(*) as held from loci_private.memories where scope_id = %s", (people.acme,)
                ).fetchone()
                assert row is not None
                if row["held"] > CAPACITY:
                    over.append(row["held"])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    done.set()
    watcher.join(100)
    assert not errors, errors[0]
    assert over == []
    assert held(db, people.acme) == CAPACITY
    assert (
        db.value(
            "select count(*) from (select content_hash from loci_private.memories where scope_id = %s and superseded_at is null"
            " group by content_hash having count(*) > 1) as twice",
            people.acme,
        )
        == 0
    )


def test_writers_at_capacity_do_not_wait_for_each_other(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        for n in range(CAPACITY):
            connection.execute("select loci.remember(%s, scope_id => %s)", (f"plain {n}", people.acme))
    with db.acting(people.ada) as first, db.acting(people.bob) as second:
        for connection, what in ((first, "first"), (second, "second")):
            connection.execute("set local lock_timeout = '5s'")
            connection.execute("select loci.remember(%s, scope_id => %s)", (f"said {what}", people.acme))
    contents = {
        row["content"] for row in db.rows("select content from loci_private.memories where scope_id = %s", people.acme)
    }
    assert {"said first", "said second"} <= contents
    assert not {"plain 0", "plain 1"} & contents
    assert len(contents) == CAPACITY


def test_a_rolled_back_memory_evicts_nothing(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        for n in range(CAPACITY):
            connection.execute("select loci.remember(%s, scope_id => %s)", (f"lasting {n}", people.acme))
    with pytest.raises(ZeroDivisionError), db.acting(people.ada) as connection:
        connection.execute("select loci.remember('fleeting', scope_id => %s)", (people.acme,))
        raise ZeroDivisionError
    contents = {
        row["content"] for row in db.rows("select content from loci_private.memories where scope_id = %s", people.acme)
    }
    assert contents == {f"lasting {n}" for n in range(CAPACITY)}


def test_the_same_at_the_same_time_is_one_memory(db: Database, people: People) -> None:
    with db.acting(people.ada) as first:
        first.execute("select loci.remember('said by both', scope_id => %s)", (people.acme,))
        with db.connect() as connection:
            connection.execute("set application_name = 'second'")
            connection.execute("begin")
            connection.execute("select loci.act_as(%s)", (people.bob,))
            second = Background(connection, f"select loci.remember('Said by  both', scope_id => '{people.acme}')")
            wait_until(
                lambda: db.rows("select from pg_stat_activity where pid = %s and wait_event_type = 'Lock'", second.pid),
                "the second waits for the first",
            )
            first.execute("commit")
            second.finish()
            connection.execute("commit")
        first.execute("begin")
    assert db.rows(
        "select mentions from loci_private.memories where content_hash = sha256('said by both') and scope_id = %s",
        people.acme,
    ) == [{"mentions": 2}]


def test_lowering_the_capacity_waits_for_writers(db: Database, people: People) -> None:
    with db.acting(people.ada) as writer:
        for n in range(CAPACITY):
            writer.execute("select loci.remember(%s, scope_id => %s)", (f"before {n}", people.acme))
        with db.connect() as connection:
            lowering = Background(connection, f"select loci.set_capacity('{people.acme}', 5)")
            wait_until(
                lambda: db.rows(
                    "select from pg_stat_activity where pid = %s and wait_event = 'advisory'", lowering.pid
                ),
                "lowering waits",
            )
            writer.execute("commit")
            lowering.finish()
        writer.execute("begin")
    assert held(db, people.acme) == 5
    assert db.value("select max(slot) from loci_private.memories where scope_id = %s", people.acme) < 5


def test_snapshots_fail_cleanly_or_work(db: Database, people: People) -> None:
    """Under REPEATABLE READ a scope may have changed too much: then that is said, and nothing is over capacity."""
    with db.acting(people.ada) as connection:
        for n in range(CAPACITY):
            connection.execute("select loci.remember(%s, scope_id => %s)", (f"old {n}", people.acme))
    with db.connect() as connection:
        connection.execute("begin isolation level repeatable read")
        connection.execute("select loci.act_as(%s)", (people.ada,))
        with db.acting(people.bob) as other:
            for n in range(CAPACITY):
                other.execute("select loci.remember(%s, scope_id => %s)", (f"new {n}", people.acme))
        try:
            connection.execute("select loci.remember('late', scope_id => %s)", (people.acme,))
            connection.execute("commit")
        except psycopg.errors.SerializationFailure:
            connection.execute("rollback")
    assert held(db, people.acme) == CAPACITY
