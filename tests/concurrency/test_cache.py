"""Cached results are the results: while rows are written, moved and deleted, rights come and go, and drains run."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database, wait_until
from tests.pipeline.background import background

QUESTIONS = ("red apples", "green pears in a basket", "a boat on the lake", "who eats plums?")
WORDS = [
    "red",
    "green",
    "apples",
    "pears",
    "plums",
    "basket",
    "boat",
    "lake",
    "eats",
    "sails",
    "ripe",
    "sweet",
    "blue",
    "cold",
]
OPERATIONS = 60


class Mayhem:
    """Threads that do as they please; errors: what must not have happened."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)


def compare(connection: Connection, user: UUID, question: str, k: int) -> tuple[bool, list[Any], list[Any]]:
    """One question through the cache and past it; and whether nothing was committed by anybody meanwhile."""
    with connection.transaction():
        connection.execute("select loci.act_as(%s)", (user,))
        now = "select pg_current_snapshot()::text as snapshot"
        before = connection.execute(now).fetchall()
        cached = connection.execute("select * from loci.search(%s, k => %s)", (question, k)).fetchall()
        plain = connection.execute(
            "select * from loci_private.search_text(%s, %s, 'hybrid', null, null, null, null, null, null, false, false, "
            "false)",
            (question, k),
        ).fetchall()
        still = connection.execute(now).fetchall() == before
    return still, [tuple(row.values()) for row in cached], [tuple(row.values()) for row in plain]


@pytest.mark.parametrize("seed", [1, 2])
def test_cached_results_are_the_results(db: Database, seed: int) -> None:
    people = db.people()
    users = (people.ada, people.bob, people.eve)
    team = db.team(people.acme, f"team {seed}", people.bob)
    scopes = [
        people.acme, people.umbrella, people.ada, db.project(people.acme, f"open {seed}"),
        db.project(people.acme, f"private {seed}", "private"), db.project(people.acme, f"of the team {seed}", "team", team),
    ]  # fmt: skip
    db.execute(
        "insert into loci.documents (scope_id, content) select (%s::uuid[])[1 + n %% 6], "
        "(%s::text[])[1 + n %% 14] || ' ' || (%s::text[])[1 + n %% 13] || ' ' || n from generate_series(1, 40) as n",
        scopes, WORDS, WORDS,
    )  # fmt: skip
    db.drain()
    mayhem = Mayhem()

    def write(number: int) -> None:
        rng = random.Random(10 * seed + number)
        with db.connect() as connection:
            for operation in range(OPERATIONS):
                audience = rng.choice([None, None, [people.bob], [team], []])
                what, scope = " ".join(rng.choices(WORDS, k=4)), rng.choice(scopes)
                level = rng.choice(["read committed", "read committed", "repeatable read"])
                try:
                    with connection.transaction(force_rollback=rng.random() < 0.2):
                        connection.execute(f"set transaction isolation level {level}".encode())
                        chosen = connection.execute(
                            "select document_id from loci.documents where scope_id = any(%s) order by md5(document_id::text || %s) "
                            "limit 2 for update skip locked", (scopes, str(operation)),
                        ).fetchall()  # fmt: skip
                        ids = [row["document_id"] for row in chosen]
                        kind = rng.choice(("insert", "insert", "rewrite", "move", "narrow", "delete", "both"))
                        if kind == "insert":
                            connection.execute(
                                "insert into loci.documents (scope_id, audience, content) values (%s, %s, %s)",
                                (scope, audience, what),
                            )
                        elif kind == "rewrite":
                            connection.execute(
                                "update loci.documents set content = %s where document_id = any(%s)", (what, ids)
                            )
                        elif kind == "move":
                            connection.execute(
                                "update loci.documents set scope_id = %s where document_id = any(%s)", (scope, ids)
                            )
                        elif kind == "narrow":
                            connection.execute(
                                "update loci.documents set audience = %s where document_id = any(%s)", (audience, ids)
                            )
                        elif kind == "delete":
                            connection.execute("delete from loci.documents where document_id = any(%s)", (ids[:1],))
                        else:
                            connection.execute(
                                "update loci.documents set content = %s, scope_id = %s where document_id = any(%s)",
                                (what, scope, ids),
                            )
                        # Somebody searches in between, and may commit what was found.
                        compare(connection, rng.choice(users), rng.choice(QUESTIONS), 3)
                except psycopg.errors.SerializationFailure:
                    pass

    def rights() -> None:
        rng = random.Random(seed)
        with db.connect() as connection:
            for _ in range(OPERATIONS // 2):
                statement = rng.choice(
                    [
                        "delete from loci.team_members where team_id = %(team)s",
                        "insert into loci.team_members (team_id, user_id) select %(team)s, m.user_id "
                        "from loci.organization_members as m where m.organization_id = %(acme)s on conflict do nothing",
                        "insert into loci.project_members (project_id, user_id) select %(private)s, m.user_id "
                        "from loci.organization_members as m where m.organization_id = %(acme)s on conflict do nothing",
                        "delete from loci.project_members where project_id = %(private)s",
                        "delete from loci.organization_members where user_id = %(bob)s",
                        "insert into loci.organization_members (organization_id, user_id) values (%(acme)s, %(bob)s) "
                        "on conflict do nothing",
                        "update loci.projects set visibility = case visibility when 'private' then 'organization' "
                        "else 'private' end where project_id = %(open)s",
                    ]
                )
                connection.execute(
                    statement,  # type: ignore[arg-type]
                    {"team": team, "acme": people.acme, "bob": people.bob, "private": scopes[4], "open": scopes[3]},
                )
                connection.execute("call loci.drain(1)")

    def drain() -> None:
        with db.connect() as connection:
            for number in range(OPERATIONS // 2):
                connection.execute("call loci.drain(1)")
                if number % 10 == 9:
                    connection.execute("select loci.reconcile()")
                    connection.execute(
                        "truncate loci_private.cache" if number % 20 == 9 else "truncate loci_private.changes"
                    )

    for number in (1, 2):
        mayhem.start(lambda number=number: write(number))  # type: ignore[misc]
    mayhem.start(rights)
    mayhem.start(drain)

    compared = 0
    rng = random.Random(seed)
    with db.connect() as connection:
        while mayhem.running:
            still, cached, plain = compare(connection, rng.choice(users), rng.choice(QUESTIONS), 5)
            if still:
                compared += 1
                assert cached == plain
        assert mayhem.errors == []
        # Whatever was left in the cache is right now that all is quiet, before the drain and after.
        for _ in range(2):
            hits = db.value("select hits from loci.cache_stats where kind = 'search'")
            for _ in range(2):
                for user in users:
                    for question in QUESTIONS:
                        _, cached, plain = compare(connection, user, question, 5)
                        assert cached == plain
            found = sum(bool(compare(connection, user, question, 5)[1]) for user in users for question in QUESTIONS)
            assert db.value("select hits from loci.cache_stats where kind = 'search'") - hits >= 2 * found
            db.drain()
    assert db.value("select misses from loci.cache_stats where kind = 'search'") > 0


def test_a_commit_between_search_and_put(db: Database) -> None:
    """A change that commits while a search is under way, and one that is older than the search but commits after it."""
    people = db.people()
    document = db.document(people.acme, "a lonely lighthouse")
    db.drain()
    with db.connect() as slow, slow.transaction():
        slow.execute("update loci.documents set scope_id = %s where document_id = %s", (people.bob, document))
        # Not committed: ada still sees it, and her result is kept.
        assert db.found(people.ada, "lighthouse") == {"a lonely lighthouse"}
        assert db.found(people.ada, "lighthouse") == {"a lonely lighthouse"}
    assert db.found(people.ada, "lighthouse") == set()
    assert db.found(people.bob, "lighthouse") == {"a lonely lighthouse"}


def test_a_mark_whose_row_was_not_stored_yet(db: Database) -> None:
    """The row is stored by a drain after the application marked it, before the application commits."""
    people = db.people()
    for number in range(3):
        db.document(people.acme, f"plums {number}")
    db.drain()
    document = db.document(people.acme, "plums and plums and plums")
    with db.connect() as slow, slow.transaction():
        slow.execute("delete from loci.documents where document_id = %s", (document,))
        db.drain()
        first = db.search(people.ada, "plums", k=2, mode="keyword")
        assert first[0]["content"] == "plums and plums and plums"
        assert db.search(people.ada, "plums", k=2, mode="keyword") == first
        ranks = db.search(people.ada, "plums", k=4, mode="keyword")
        assert len(ranks) == 4
    with db.connect() as connection:
        for k in (2, 4):
            _, cached, plain = compare(connection, people.ada, "plums", k)
            assert cached == plain
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (people.ada,))
            assert [row["keyword_rank"] for row in connection.execute(
                "select * from loci.search('plums', k => 4, mode => 'keyword')"
            ).fetchall()] == [1, 2, 3]  # fmt: skip
    db.drain()


def test_sizes_hold_under_concurrent_puts(db: Database) -> None:
    people = db.people()
    db.execute("update loci.settings set value = '40' where name = 'cache_routing_entries'")
    role = db.app_role()
    errors: list[BaseException] = []

    def put(number: int) -> None:
        try:
            with db.connect(role) as connection:
                for entry in range(100):
                    with connection.transaction():
                        connection.execute("select loci.act_as(%s)", (people.ada,))
                        connection.execute(
                            "select loci.cache_put('routing', %s, '1')", (str(entry * (1 + number % 2)),)
                        )
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=put, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert errors == []
    # At most what was being put at the same moment comes on top, until the next eviction.
    assert db.value("select entries from loci.cache_stats where kind = 'routing'") <= 40 + 4
    for entry in range(2):
        with db.acting(people.ada) as connection:
            connection.execute("select loci.cache_put('routing', %s, '2')", (str(entry),))
    assert 30 < db.value("select entries from loci.cache_stats where kind = 'routing'") <= 40


def test_a_search_never_waits_for_another_that_is_being_kept(db: Database) -> None:
    people = db.people()
    db.document(people.acme, "a patient heron")
    db.drain()
    with db.acting(people.ada) as holder:
        assert holder.execute("select * from loci.search('heron')").fetchall()
        ask = f"begin; select loci.act_as('{people.ada}'); select count(*) from loci.search('heron'); commit"
        with background(db, ask) as other:
            other.finish(30)
        assert wait_until(lambda: db.found(people.ada, "heron"), "found") == {"a patient heron"}
