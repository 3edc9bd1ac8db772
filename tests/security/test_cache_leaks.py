"""Nothing that one user put or found reaches another through a cache, nor the same user after losing a right."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.database import Database
from tests.security.world import World, make_world, refused, run

KINDS = ("search", "embedding", "context", "similarity", "routing", "response")


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    return make_world(db)


def get(db: Database, user: UUID | None, kind: str, parts: str) -> Any:
    with db.acting(user) as connection:
        return run(connection, "select loci.cache_get(%s, %s) as value", (kind, parts)).fetchall()[0]["value"]


def put(db: Database, user: UUID, kind: str, parts: str, value: str) -> None:
    with db.acting(user) as connection:
        assert run(connection, "select loci.cache_put(%s, %s, %s) as kept", (kind, parts, value)).fetchall()[0]["kept"]


@pytest.mark.parametrize("kind", KINDS)
def test_entries_are_their_users_alone(db: Database, world: World, kind: str) -> None:
    bob = world.users["bob"]
    hostile = [
        '{"q": "x"}', f'{{"q": "x", "user_id": "{bob}"}}', f'["{bob}", {{"q": "x"}}]', f'"put,{kind},{bob}"',
        '"\\"){},(\\\\"', '{"": {"": []}}', "null",
    ]  # fmt: skip
    for parts in hostile:
        put(db, bob, kind, parts, '"bob\'s"')
    for name, user in {**world.users, "nobody": None}.items():
        if name == "bob":
            continue
        assert [get(db, user, kind, parts) for parts in hostile] == [None] * len(hostile)
        if user is not None:
            for parts in hostile:
                put(db, user, kind, parts, f'"{name}\'s"')
    assert [get(db, bob, kind, parts) for parts in hostile] == ["bob's"] * len(hostile)


def test_nobody_puts_nothing(db: Database, world: World) -> None:
    with refused("LC321"), db.acting(None) as connection:
        run(connection, "select loci.cache_put('response', '1', '1')")


def test_the_machinery_is_out_of_reach(db: Database, world: World) -> None:
    for statement in (
        "select * from loci_private.cache", "delete from loci_private.changes", "select * from loci_private.cache_counts()",
        "select nextval('loci_private.cache_search_hits')", "select loci_private.note_change(null)", "select * from loci.cache_stats",
        "select loci.clear_cache()", "select loci_private.purge_caches()", "select loci_private.scopes_of(null)",
    ):  # fmt: skip
        with refused("42501"), db.acting(world.users["bob"]) as connection:
            run(connection, statement)


REVOCATIONS = {
    "left the organization": "delete from loci.organization_members where user_id = %(bob)s",
    "left the team": "delete from loci.team_members where user_id = %(bob)s",
    "the team lost the project": "update loci.projects set visibility = 'private', team_id = null where project_id = %(teams)s",
    "moved away": "update loci.documents set scope_id = %(private)s where document_id = %(it)s",
    "narrowed to another": "update loci.documents set audience = array[%(cat)s]::uuid[] where document_id = %(it)s",
    "narrowed to nobody": "update loci.documents set audience = '{}' where document_id = %(it)s",
    "deleted": "delete from loci.documents where document_id = %(it)s",
    "all rows truncated": "truncate loci.documents",
    "the project deleted": "delete from loci.projects where project_id = %(teams)s",
}


@pytest.mark.parametrize("case", REVOCATIONS)
def test_gone_with_the_next_statement(db: Database, case: str) -> None:
    """Found and kept; then the right goes, without a drain. Quotes of it in other caches go too."""
    world = make_world(db)
    bob = world.users["bob"]
    document = db.document(world.teams, "the keys are under the mat")
    db.drain()
    assert db.found(bob, "keys") == {"the keys are under the mat"}
    assert db.found(bob, "keys") == {"the keys are under the mat"}
    for kind in ("context", "similarity", "response"):
        put(db, bob, kind, '"keys"', '"under the mat"')
    values = {**world.users, **vars(world), "it": document}
    with db.connect() as writer:
        run(writer, "begin")
        run(writer, "select loci.act_as(%s)", (bob,))
        assert run(writer, "select from loci.search('keys')").rowcount == 1
        run(writer, REVOCATIONS[case], values)
        assert run(writer, "select from loci.search('keys')").rowcount == 0
        run(writer, "rollback")
        assert db.found(bob, "keys") == {"the keys are under the mat"}
        run(writer, REVOCATIONS[case], values)
    assert db.found(bob, "keys") == set()
    assert [get(db, bob, kind, '"keys"') for kind in ("context", "similarity", "response")] == [None] * 3
    db.drain()
    assert db.found(bob, "keys") == set()
    assert [get(db, bob, kind, '"keys"') for kind in ("context", "similarity", "response")] == [None] * 3


def test_a_forged_entry_shows_nothing_that_is_hidden(db: Database) -> None:
    """Even an entry that names another's chunks, believed to be current, is checked row by row."""
    world = make_world(db)
    eve, bob = world.users["eve"], world.users["bob"]
    db.document(world.users["eve"], "a thing of eve's own")
    db.document(world.teams, "a thing of the team")
    db.drain()
    assert db.found(bob, "thing", k=1) == {"a thing of the team"}
    assert db.found(eve, "thing", k=1) == {"a thing of eve's own"}
    assert db.value("select count(*) from loci_private.cache where kind = 'search'") >= 2
    db.execute(
        "update loci_private.cache set chunk_ids = array[(select chunk_id from loci_private.chunks where content = 'a thing of the team' "
        "order by chunk_id desc limit 1)] where kind = 'search'"
    )
    assert db.found(eve, "thing", k=1) == {"a thing of eve's own"}
