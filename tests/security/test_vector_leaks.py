"""search_vector(), similar() and explain_search() show what the documents table shows, and nothing of anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.database import Connection, Database, embeddings_table
from tests.functions.vectors import build_index
from tests.security.world import World, make_world, run

USERS = ("ada", "bob", "cat", "dan", "eve", "fay")


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    world = make_world(db)
    audiences = (None, [], [world.users["bob"]], [world.team], [world.users["bob"], world.users["cat"]])
    scopes = [getattr(world, name) for name in ("acme", "umbrella", "everybody", "teams", "private", "theirs")]
    for scope in [*scopes, *world.users.values()]:
        for number, audience in enumerate(audiences):
            db.document(scope, f"a secret number {number} of {scope}", audience=audience)
    db.drain()
    assert db.waiting() == 0
    db.execute("update loci.settings set value = '1' where name = 'index_threshold'")
    build_index(db, "hash")
    return world


@pytest.fixture(params=[None, "0"], ids=["exact", "index"])
def path(db: Database, request: pytest.FixtureRequest) -> Iterator[str]:
    db.execute("update loci.settings set value = %s where name = 'exact_scan_limit'", request.param)
    yield "index" if request.param else "exact"
    db.execute("update loci.settings set value = null where name = 'exact_scan_limit'")


def keys(connection: Connection, sql: str, *parameters: Any) -> set[str]:
    return {row["key"] for row in run(connection, sql, parameters).fetchall()}


SEARCH = "select key from loci.search_vector(loci.embed('a secret number'), 1000{})"
TABLE = "select document_id::text as key from loci.documents"


@pytest.mark.parametrize("user", [*USERS, None])
def test_exactly_what_is_visible(db: Database, world: World, user: str | None, path: str) -> None:
    with db.acting(world.users[user] if user else None) as connection:
        visible = keys(connection, TABLE)
        assert bool(visible) is (user is not None)
        assert keys(connection, SEARCH.format("")) == visible
        assert keys(connection, SEARCH.format(", model => 'hash'")) == visible
        every = [row["scope_id"] for row in db.rows("select scope_id from loci_private.scopes")]
        assert keys(connection, SEARCH.format(", scopes => %s"), every) == visible
        assert keys(connection, SEARCH.format(", scopes => '{}'")) == set()
        assert keys(connection, SEARCH.format(", sources => '{}'")) == set()
        for key in visible:
            assert keys(connection, "select key from loci.similar('documents', %s, 1000)", key) == visible - {key}


def refusal(db: Database, world: World, user: str | None, key: str, source: str = "documents") -> dict[str, Any]:
    with (
        db.acting(world.users[user] if user else None) as connection,
        pytest.raises(psycopg.Error) as caught,
        connection.transaction(),
    ):
        run(connection, "select * from loci.similar(%s, %s)", (source, key))
    said = caught.value.diag
    return {
        "code": said.sqlstate, "message": (said.message_primary or "").replace(key, "KEY").replace(source, "SOURCE"),
        "detail": said.message_detail, "hint": said.message_hint, "context": said.context,
    }  # fmt: skip


@pytest.mark.parametrize("user", [*USERS, None])
def test_similar_is_no_oracle(db: Database, world: World, user: str | None) -> None:
    """A row out of sight, one that does not exist, one of no source: the same answer."""
    with db.acting(world.users[user] if user else None) as connection:
        visible = keys(connection, TABLE)
    hidden = {str(row["document_id"]) for row in db.rows("select document_id from loci.documents")} - visible
    assert len(hidden) > 10
    nothing = refusal(db, world, user, str(uuid4()))
    assert nothing["code"] == "LC304"
    for key in sorted(hidden)[:10]:
        assert refusal(db, world, user, key) == nothing
        assert refusal(db, world, user, key, "nowhere") == nothing


def test_a_row_that_left_is_out_of_sight_at_once(db: Database, world: World, path: str) -> None:
    document = str(db.document(world.teams, "a secret number that leaves"))
    db.drain()
    for statement in (
        "delete from loci.documents where document_id = %s",
        f"update loci.documents set scope_id = '{world.theirs}' where document_id = %s",
        "update loci.documents set audience = '{}' where document_id = %s",
    ):
        for level in ("read committed", "repeatable read"):
            with db.connect() as writer:
                run(writer, f"begin isolation level {level}")
                run(writer, "select loci.act_as(%s)", (world.users["bob"],))
                assert document in keys(writer, SEARCH.format(""))
                assert keys(writer, "select key from loci.similar('documents', %s, 1)", document)
                run(writer, statement, (document,))
                assert document not in keys(writer, SEARCH.format(""))
                with pytest.raises(psycopg.Error) as caught:
                    run(writer, "select key from loci.similar('documents', %s, 1)", (document,))
                assert caught.value.sqlstate == "LC304"
                run(writer, "rollback")
    db.execute("delete from loci.documents where document_id = %s", document)
    db.drain()


def explained(connection: Connection, mode: str = "hybrid") -> list[str]:
    rows = run(connection, "select * from loci.explain_search('a secret number', mode => %s)", (mode,)).fetchall()
    return [re.sub(r"in [\d.]+ ms", "in a while", f"{row['step']}: {row['detail']}") for row in rows]


def test_explain_search_says_nothing_of_others(db: Database, world: World, path: str) -> None:
    """It says the same, word for word, whether others have rows or not; only an administrator is told of all."""
    with db.acting(world.users["dan"]) as connection:
        before = explained(connection)
    assert any(line.startswith(f"path: {path}") for line in before)
    hidden = [db.document(world.theirs, f"a secret number, {n}") for n in range(40)]
    db.drain()
    db.execute("analyze " + embeddings_table(db))
    try:
        with db.acting(world.users["dan"]) as connection:
            assert explained(connection) == before
        words = " ".join(before)
        assert not re.search(r"limit|ef_search|%|about", words)
        admin = db.login_role("boss", "loci_admin", "loci_app")
        with db.acting(world.users["dan"], admin) as connection:
            told = " ".join(explained(connection))
        assert ("ef_search" in told) is (path == "index")
        assert "%" in told
    finally:
        db.execute("delete from loci.documents where document_id = any(%s)", hidden)
        db.drain()
