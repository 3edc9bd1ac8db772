"""loci.search() never shows a row more than the documents table would: in no mode, at no time, by no argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Connection, Database
from tests.security.world import World, make_world, refused, run

MODES = ("hybrid", "vector", "keyword")


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    world = make_world(db)
    bob, cat = world.users["bob"], world.users["cat"]
    hunters = db.team(world.umbrella, "hunters", world.users["eve"])
    audiences = {
        "all": None,
        "nobody": [],
        "bob": [bob],
        "team": [world.team],
        "bob or cat": [bob, cat],
        "hunters": [hunters],
    }
    scopes = {name: getattr(world, name) for name in ("acme", "umbrella", "everybody", "teams", "private", "theirs")}
    for scope_name, scope in {**scopes, **world.users}.items():
        for audience_name, audience in audiences.items():
            db.document(scope, f"a secret in {scope_name} for {audience_name}", audience=audience)
    db.drain()
    assert db.waiting() == 0
    return world


def in_table(db: Database, user: UUID | None) -> set[str]:
    with db.acting(user) as connection:
        return {row["content"] for row in run(connection, "select content from loci.documents").fetchall()}


def expected(world: World, name: str | None) -> set[str]:
    """The rule again, in other words than the database's."""
    if name is None:
        return set()
    visible = {
        "ada": ["acme", "everybody"], "bob": ["acme", "everybody", "teams"], "cat": ["acme", "everybody", "private"],
        "dan": ["acme", "everybody"], "eve": ["umbrella", "theirs"], "fay": [],
    }[name]  # fmt: skip
    audiences = ["all"]
    audiences += ["bob", "bob or cat", "team"] if name == "bob" else ["bob or cat"] if name == "cat" else []
    audiences += ["hunters"] if name == "eve" else []
    return {f"a secret in {scope} for {audience}" for scope in [*visible, name] for audience in audiences}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("user", ["ada", "bob", "cat", "dan", "eve", "fay", None])
def test_exactly_what_is_visible(db: Database, world: World, user: str | None, mode: str) -> None:
    user_id = world.users[user] if user else None
    found = db.search(user_id, "a secret", k=1000, mode=mode)
    contents = [row["content"] for row in found]
    assert len(contents) == len(set(contents))
    assert set(contents) == expected(world, user) == in_table(db, user_id)


@pytest.mark.parametrize("mode", MODES)
def test_exactly_what_is_visible_by_the_index_too(db: Database, world: World, mode: str) -> None:
    db.execute("update loci.settings set value = '0' where name = 'exact_scan_limit'")
    try:
        for user in ("bob", "eve"):
            assert db.found(world.users[user], "a secret", k=1000, mode=mode) == expected(world, user)
    finally:
        db.execute("update loci.settings set value = null where name = 'exact_scan_limit'")


@pytest.mark.parametrize("mode", MODES)
def test_scopes_narrow_and_never_widen(db: Database, world: World, mode: str) -> None:
    def found(scopes: list[UUID | None]) -> set[str]:
        return db.found(world.users["bob"], "a secret", k=1000, mode=mode, scopes=scopes)

    every = db.rows("select scope_id from loci_private.scopes")
    assert found([row["scope_id"] for row in every]) == expected(world, "bob")
    assert found([]) == set()
    assert found([None]) == set()
    assert found([uuid4()]) == set()
    assert found([world.umbrella, world.private, world.users["ada"]]) == set()
    assert found([world.teams, world.private]) == {c for c in expected(world, "bob") if " in teams " in c}


@pytest.mark.parametrize("mode", MODES)
def test_no_sources_are_no_rows(db: Database, world: World, mode: str) -> None:
    assert db.found(world.users["bob"], "a secret", mode=mode, sources=[]) == set()
    assert db.found(world.users["bob"], "a secret", k=1000, mode=mode, sources=["documents"]) == expected(world, "bob")


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_similarity": "-1"}, {"metadata": "{}"}, {"since": "-infinity"}, {"until": "infinity"},
        {"min_similarity": "nan"}, {"min_similarity": "-infinity"},
        {"since": "-infinity", "until": "infinity", "metadata": "{}", "min_similarity": "-1", "sources": ["documents"]},
    ],
)  # fmt: skip
def test_no_filter_widens(db: Database, world: World, arguments: dict[str, Any]) -> None:
    assert db.found(world.users["bob"], "a secret", k=1000, **arguments) <= expected(world, "bob")
    assert db.found(world.users["fay"], "a secret", k=1000, **arguments) <= expected(world, "fay")
    assert db.found(None, "a secret", k=1000, **arguments) == set()


def test_scores_do_not_tell_of_hidden_rows(db: Database, world: World) -> None:
    """What a user gets is the same, to the last digit, whether others have rows or not."""
    fay = world.users["fay"]
    before = db.search(fay, "a secret in fay", k=1000)
    hidden = [db.document(world.private, "a secret in fay, and fay, and fay") for _ in range(3)]
    db.drain()
    assert db.search(fay, "a secret in fay", k=1000) == before
    db.execute("delete from loci.documents where document_id = any(%s)", hidden)
    db.drain()


@pytest.mark.parametrize("mode", MODES)
def test_statistics_do_not_tell_of_hidden_rows(db: Database, world: World, mode: str) -> None:
    """Words of scopes and audiences that somebody is not among weigh nothing, though they share tables and indexes."""
    dan = world.users["dan"]
    for text in ("the emerald file", "the ruby file", "a file of files"):
        db.document(world.everybody, text)
    db.drain()
    question = "where is the emerald or ruby file?"
    before = db.search(dan, question, k=1000, mode=mode)
    hidden = [db.document(world.private, f"emerald {n} emerald") for n in range(30)]
    hidden += [db.document(world.everybody, f"emerald {n} ruby", audience=[world.users["bob"]]) for n in range(30)]
    hidden += [db.document(world.theirs, f"ruby {n}") for n in range(30)]
    db.drain()
    assert db.search(dan, question, k=1000, mode=mode) == before
    db.execute("delete from loci.documents where document_id = any(%s)", hidden)
    db.execute("delete from loci.documents where content ~ 'file'")
    db.drain()


def test_errors_do_not_quote_hidden_rows(db: Database, world: World) -> None:
    for arguments in ({"sources": ["x'--"]}, {"mode": "x'--"}, {"k": -1}):
        with pytest.raises(psycopg.Error) as caught:
            db.search(world.users["fay"], "a secret", **{"k": 5, **arguments})  # type: ignore[arg-type]
        assert "a secret in" not in str(caught.value)


# --- a row on its way -------------------------------------------------------------------------------------------------


@pytest.fixture
def subject(db: Database, world: World) -> Iterator[UUID]:
    document = db.document(world.teams, "the quick subject")
    yield document
    db.execute("delete from loci.documents where document_id = %s", document)
    db.drain()


CHANGES = {
    "moved": ("update loci.documents set scope_id = %(private)s where document_id = %(it)s", True),
    "moved out of the house": ("update loci.documents set scope_id = %(theirs)s where document_id = %(it)s", False),
    "narrowed to a user": ("update loci.documents set audience = array[%(cat)s]::uuid[] where document_id = %(it)s", False),
    "narrowed to nobody": ("update loci.documents set audience = '{}' where document_id = %(it)s", False),
    "deleted": ("delete from loci.documents where document_id = %(it)s", False),
    "moved and rewritten": (
        "update loci.documents set scope_id = %(private)s, content = 'the slow subject' where document_id = %(it)s", True,
    ),
    "renumbered and moved": (
        "update loci.documents set document_id = gen_random_uuid(), scope_id = %(theirs)s where document_id = %(it)s", False,
    ),
    "taken along by its project": ("delete from loci.projects where project_id = %(teams)s", False),
}  # fmt: skip


def finder(db: Database, connection: Connection, user: UUID) -> Callable[[], list[str]]:
    """What a user finds, in all modes, in the transaction of this (superuser's) connection."""

    def find() -> list[str]:
        # Whoever runs the statement, it asks as this user.
        run(connection, "select loci.act_as(%s)", (user,))
        return [
            row["content"]
            for mode in MODES
            for row in run(
                connection, "select content from loci.search('quick subject', k => 50, mode => %s)", (mode,)
            ).fetchall()
            if row["content"].endswith(" subject")
        ]

    return find


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("state", ["waiting", "split", "embedded"])
@pytest.mark.parametrize("case", CHANGES)
def test_gone_from_the_next_search(
    db: Database, world: World, subject: UUID, case: str, state: str, level: str
) -> None:
    """In the same transaction, after a rollback, after the commit, before and after the drain."""
    statement, cat_finds_it = CHANGES[case]
    bob, cat = world.users["bob"], world.users["cat"]
    values = {**world.users, **vars(world), "it": subject}
    if state == "split":
        # Split by a drain that was stopped before it embedded anything.
        db.drain()
        db.execute("delete from " + vectors(db))
        db.execute(
            "insert into loci_private.embed_queue (model_id, chunk_id) select m.model_id, c.chunk_id "
            "from loci_private.chunks as c cross join loci_private.model_assignments as a "
            "join loci.embedding_models as m on m.model_id = a.active_model on conflict do nothing"
        )
    elif state == "embedded":
        db.drain()
    known = state != "waiting"
    vectored = state == "embedded"
    with db.connect() as writer:
        find = finder(db, writer, bob)
        for ending in ("rollback", "commit"):
            run(writer, f"begin isolation level {level}")
            before = find()
            assert len(before) == (3 if vectored else 2 if known else 0)
            run(writer, statement, values)
            assert find() == []
            run(writer, "savepoint s")
            assert find() == []
            run(writer, ending)
        run(writer, "begin")
        assert find() == []
        run(writer, "commit")
        db.drain()
        run(writer, "begin")
        assert find() == []
        find_cat = finder(db, writer, cat)
        assert bool(find_cat()) is cat_finds_it or case == "narrowed to a user"
        run(writer, "commit")
    if case == "taken along by its project":
        db.execute(
            "insert into loci.projects (project_id, organization_id, name, visibility, team_id) "
            "values (%s, %s, 'of the team', 'team', %s)",
            world.teams, world.acme, world.team,
        )  # fmt: skip
    assert db.waiting() == 0


def vectors(db: Database) -> str:
    from tests.database import embeddings_table

    return embeddings_table(db)


def test_a_snapshot_from_before_sees_its_own_moves(db: Database, world: World, subject: UUID) -> None:
    """REPEATABLE READ: the drain works meanwhile, and the reader's own snapshot stays consistent."""
    db.drain()
    with db.connect() as reader:
        find = finder(db, reader, world.users["bob"])
        run(reader, "begin isolation level repeatable read")
        assert len(find()) == 3
        db.execute("update loci.documents set title = 'renamed' where document_id = %s", subject)
        db.drain()
        assert len(find()) == 3
        run(reader, "commit")
        run(reader, "begin")
        assert len(find()) == 3
        run(reader, "commit")


def test_an_application_moves_it_away_from_itself(db: Database, world: World, subject: UUID) -> None:
    """With the rights of the application alone: bob hands his row to the whole organization, then takes it for himself."""
    db.drain()
    with db.acting(world.users["bob"]) as connection:
        query = "select scope_id from loci.search('quick subject', k => 50) where content = 'the quick subject'"
        assert run(connection, query).fetchall() == [{"scope_id": world.teams}]
        update = "update loci.documents set scope_id = %s where document_id = %s"
        for scope in (world.acme, world.users["bob"], world.everybody):
            run(connection, update, (scope, subject))
            assert run(connection, query).fetchall() == [{"scope_id": scope}]
        with refused("LC141"), connection.transaction():
            run(connection, update, (world.private, subject))
        run(connection, "delete from loci.documents where document_id = %s", (subject,))
        assert run(connection, query).fetchall() == []
        connection.execute("rollback")
    assert "the quick subject" in db.found(world.users["bob"], "quick subject", k=50)
