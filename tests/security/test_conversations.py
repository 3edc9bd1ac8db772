"""Conversations of others: nothing of them is seen, changed, ended or even known to exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from tests.security.world import World, make_world, refused, run

SECRET = "The safe opens with 4711."


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    world = make_world(db)
    db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
    db.document(world.private, SECRET, title="Safe")
    db.document(world.acme, "The canteen opens at noon.", title="Canteen")
    db.drain()
    return world


@pytest.fixture(scope="module")
def cats(db: Database, world: World) -> Iterator[dict[str, Any]]:
    """A conversation of cat's about the safe; its last turn is open."""
    with db.acting(world.users["cat"]) as connection:
        conversation = run(connection, "insert into loci.conversations default values returning *").fetchone()
        assert conversation is not None
        given = (conversation["conversation_id"],)
        done = run(connection, "select * from loci.begin_turn(%s, 'What opens the safe?')", given).fetchone()
        assert done is not None and SECRET in str(done["request"])
        answer = run(
            connection, "select * from loci.finish_turn(%s, 'It opens with 4711 [1].')", (done["turn_id"],)
        ).fetchone()
        assert answer is not None and answer["citations"]
        is_open = run(connection, "select * from loci.begin_turn(%s, 'Really?')", given).fetchone()
        assert is_open is not None
    db.drain()
    yield {
        "conversation": given[0], "done": done["turn_id"], "open": is_open["turn_id"], "answer": answer["message_id"]
    }  # fmt: skip


OTHERS = ["dan", "ada", "eve", None]


def said(error: psycopg.Error, *ids: object) -> str:
    """All that a client is told, but for what it said itself."""
    parts = (
        error.sqlstate,
        error.diag.message_primary,
        error.diag.message_detail,
        error.diag.message_hint,
        error.diag.context,
    )
    text = "\n".join(str(part) for part in parts)
    for one in ids:
        text = text.replace(str(one), "ID")
    return text


@pytest.mark.parametrize("who", OTHERS)
def test_rows_of_others(db: Database, world: World, cats: dict[str, Any], who: str | None) -> None:
    user = world.users[who] if who else None
    with db.acting(user) as connection:
        for table in ("conversations", "messages"):
            assert run(connection, f"select * from loci.{table}").fetchall() == []
            assert run(connection, f"delete from loci.{table}").rowcount == 0
        assert run(connection, "update loci.conversations set title = 'mine'").rowcount == 0
        assert run(connection, "select * from loci.citations(%s)", (cats["answer"],)).fetchall() == []
        found = run(connection, "select content from loci.search('What opens the safe?', k => 100)").fetchall()
        assert not any("safe" in row["content"] or "4711" in row["content"] for row in found)
    assert db.value("select count(*) from loci.messages where conversation_id = %s", cats["conversation"]) == 3


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize(
    "statement",
    [
        "select * from loci.begin_turn(%s, 'x')",
        "select * from loci.chat(%s, 'x')",
        "select loci.build_context(%s, 'x')",
        "insert into loci.messages (conversation_id, role, content) values (%s, 'user', 'x')",
    ],
)
def test_ids_of_conversations_tell_nothing(
    db: Database, world: World, cats: dict[str, Any], who: str | None, statement: str
) -> None:
    told = []
    for conversation in (cats["conversation"], uuid4()):
        with refused("LC702") as caught, db.acting(world.users[who] if who else None) as connection:
            run(connection, statement, (conversation,))
        told.append(said(caught.value, conversation))
    assert told[0] == told[1]


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("turn", ["open", "done"])
@pytest.mark.parametrize("statement", ["select * from loci.finish_turn(%s, 'x')", "select loci.retry_turn(%s)"])
def test_ids_of_turns_tell_nothing(
    db: Database, world: World, cats: dict[str, Any], who: str | None, turn: str, statement: str
) -> None:
    told = []
    for given in (cats[turn], uuid4()):
        with refused("LC707") as caught, db.acting(world.users[who] if who else None) as connection:
            run(connection, statement, (given,))
        told.append(said(caught.value, given))
    assert told[0] == told[1]
    assert db.value("select status from loci_private.turns where turn_id = %s", cats["open"]) == "open"


def test_what_the_machinery_writes_nobody_else_does(db: Database, world: World, cats: dict[str, Any]) -> None:
    cat = world.users["cat"]
    conversation = cats["conversation"]
    for statement in (
        f"insert into loci.conversations (user_id) values ('{world.users['dan']}')",
        f"insert into loci.conversations (conversation_id) values ('{uuid4()}')",
        f"update loci.conversations set user_id = '{world.users['dan']}'",
        f"update loci.conversations set organization_id = '{world.umbrella}'",
        f"insert into loci.messages (conversation_id, role, content, confidence) values ('{conversation}', 'user', 'x', 1)",
        f"insert into loci.messages (conversation_id, role, content, scope_id) values ('{conversation}', 'user', 'x', '{world.acme}')",
        "update loci.messages set content = 'x'",
        "select * from loci_private.turns",
        "select * from loci_private.citations",
        "select loci_private.close_turns()",
        "select loci_private.settle('{}', '{}', '{}')",
    ):
        with refused("42501"), db.acting(cat) as connection:
            run(connection, statement)
    with refused("LC701"), db.acting(cat) as connection:
        run(connection, "insert into loci.conversations (organization_id) values (%s)", (world.umbrella,))


def test_who_loses_the_project_loses_its_citations(db: Database, world: World, cats: dict[str, Any]) -> None:
    cat = world.users["cat"]

    def cited() -> list[Any]:
        with db.acting(cat) as connection:
            return run(connection, "select source, key from loci.citations(%s)", (cats["answer"],)).fetchall()

    assert len(cited()) == 1
    db.execute("delete from loci.project_members where user_id = %s", cat)
    try:
        assert cited() == []
        with db.acting(cat) as connection:
            again = run(
                connection, "select * from loci.finish_turn(%s, 'It opens with 4711 [1].')", (cats["done"],)
            ).fetchone()
            assert again is not None and again["citations"] == []
            asked = run(connection, "select loci.build_context(null, 'What opens the safe?')::text as c").fetchone()
            assert asked is not None and SECRET not in asked["c"]
    finally:
        db.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", world.private, cat)


def test_what_is_asked_is_never_read_as_sql(db: Database, world: World) -> None:
    hostile = '\'; drop table loci.messages; -- $$ %s {0} \\ "x" [1] </passages> &#91;'
    with db.acting(world.users["ada"]) as connection:
        row = run(connection, "insert into loci.conversations default values returning conversation_id").fetchone()
        assert row is not None
        begun = run(connection, "select * from loci.begin_turn(%s, %s)", (row["conversation_id"], hostile)).fetchone()
        assert begun is not None and begun["request"]["messages"][-1]["content"] == hostile
        run(connection, "select loci.finish_turn(%s, %s)", (begun["turn_id"], hostile))
        texts = run(connection, "select content from loci.messages").fetchall()
    assert [text["content"] for text in texts] == [hostile, hostile]


def test_nobody_cites_for_another(db: Database, world: World) -> None:
    """A shared passage is cited by number only; a user's answer cannot name rows that the user was not shown."""
    dan: UUID = world.users["dan"]
    with db.acting(dan) as connection:
        row = run(connection, "insert into loci.conversations default values returning conversation_id").fetchone()
        assert row is not None
        begun = run(
            connection, "select * from loci.begin_turn(%s, 'What opens the safe?')", (row["conversation_id"],)
        ).fetchone()
        assert begun is not None
        reply = "".join(f"[{n}]" for n in range(30)) + " documents Safe"
        answer = run(connection, "select * from loci.finish_turn(%s, %s)", (begun["turn_id"], reply)).fetchone()
        assert answer is not None
    assert [citation["title"] for citation in answer["citations"]] == ["Canteen"]
