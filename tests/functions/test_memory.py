"""loci.remember(), recall(), forget(), set_capacity(): what is kept, for whom, and what goes."""

from __future__ import annotations

from typing import Any, LiteralString, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Database, People


@pytest.fixture
def people(db: Database) -> People:
    return db.people()


def remember(db: Database, user: UUID | None, content: str | None, **arguments: Any) -> int:
    given = "".join(f", {name} => %s" for name in arguments)
    values = [
        Jsonb(value) if isinstance(value, dict | list) and name != "audience" else value
        for name, value in arguments.items()
    ]
    with db.acting(user) as connection:
        row = connection.execute(
            cast(LiteralString, f"select loci.remember(%s{given}) as memory_id"), (content, *values)
        ).fetchone()
    assert row is not None
    return cast(int, row["memory_id"])


def recall(db: Database, user: UUID | None, query: str, k: int = 10, **arguments: Any) -> list[dict[str, Any]]:
    given = "".join(f", {name} => %s" for name in arguments)
    with db.acting(user) as connection:
        return connection.execute(
            cast(LiteralString, f"select * from loci.recall(%s, k => %s{given})"), (query, k, *arguments.values())
        ).fetchall()


def recalled(db: Database, user: UUID | None, query: str, **arguments: Any) -> list[str]:
    return [row["content"] for row in recall(db, user, query, **arguments)]


def forget(db: Database, user: UUID | None, memory_id: int | None) -> bool:
    with db.acting(user) as connection:
        row = connection.execute("select loci.forget(%s) as gone", (memory_id,)).fetchone()
    assert row is not None
    return cast(bool, row["gone"])


def sweep(db: Database) -> int:
    return cast(int, db.value("select loci_private.sweep_memories()"))


def refused(db: Database, code: str, user: UUID | None, content: str | None = "tea", **arguments: Any) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        remember(db, user, content, **arguments)
    assert caught.value.sqlstate == code, caught.value
    assert caught.value.diag.message_hint
    return caught.value


# --- remembering and recalling ----------------------------------------------------------------------------------------


def test_what_is_remembered_is_recalled_at_once_and_by_meaning_later(db: Database, people: People) -> None:
    memory = remember(db, people.ada, "Ada drinks tea in the morning", metadata={"topic": "tea"}, importance=0.9)
    remember(db, people.ada, "The lighthouse was built in 1850")
    (row,) = recall(db, people.ada, "What tea does she drink?")
    assert (row["memory_id"], row["level"], row["type"], row["similarity"]) == (memory, "user", "semantic", None)
    assert row["metadata"] == {"topic": "tea"}
    db.drain()
    rows = recall(db, people.ada, "Ada drinks tea")
    assert rows[0]["memory_id"] == memory
    assert rows[0]["similarity"] > rows[-1]["similarity"] or len(rows) == 1
    assert recalled(db, people.bob, "tea") == []
    assert recalled(db, None, "tea") == []


def test_layers_come_together_in_one_query(db: Database, people: People) -> None:
    project = db.project(people.acme, "harbour", "private")
    db.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", project, people.ada)
    remember(db, people.ada, "the harbour closes at nine", scope_id=people.acme)
    remember(db, people.ada, "the harbour has two cranes", scope_id=project)
    remember(db, people.ada, "my harbour pass is blue")
    remember(db, people.eve, "another harbour altogether", scope_id=people.umbrella)
    for _ in range(2):
        assert {row["level"] for row in recall(db, people.ada, "harbour")} == {"organization", "project", "user"}
        assert recalled(db, people.bob, "harbour") == ["the harbour closes at nine"]
        assert recalled(db, people.ada, "harbour", scopes=[project, people.umbrella]) == ["the harbour has two cranes"]
        assert recalled(db, people.ada, "harbour", scopes=[]) == []
        db.drain()


def test_an_audience_narrows_a_memory(db: Database, people: People) -> None:
    team = db.team(people.acme, f"crew {uuid4()}", people.ada)
    remember(db, people.ada, "the vault opens with a song", scope_id=people.acme, audience=[team])
    assert recalled(db, people.ada, "vault song") == ["the vault opens with a song"]
    assert recalled(db, people.bob, "vault song") == []
    db.execute("delete from loci.team_members where team_id = %s", team)
    assert recalled(db, people.ada, "vault song") == []


def test_types_are_told_apart(db: Database, people: People) -> None:
    for kind in ("working", "episodic", "semantic"):
        remember(db, people.ada, f"the ferry, {kind}", type=kind)
    assert recalled(db, people.ada, "ferry", types=["episodic"]) == ["the ferry, episodic"]
    assert len(recalled(db, people.ada, "ferry", types=["episodic", "working"])) == 2
    assert recalled(db, people.ada, "ferry", types=[]) == []


def test_importance_and_age_decide_between_equals(db: Database, people: People) -> None:
    try:
        db.set_clock("2030-01-01")
        remember(db, people.ada, "the bell rings at noon, it was said in winter")
        remember(db, people.ada, "the bell rings at noon, it matters greatly", importance=1.0)
        db.set_clock("2030-06-01")
        remember(db, people.ada, "the bell rings at noon, it was said in summer")
        found = recalled(db, people.ada, "bell rings noon")
    finally:
        db.set_clock(None)
    assert found.index("the bell rings at noon, it was said in summer") < found.index(
        "the bell rings at noon, it was said in winter"
    )
    assert found.index("the bell rings at noon, it matters greatly") < found.index(
        "the bell rings at noon, it was said in winter"
    )


def test_memories_are_never_searched_nor_listed(db: Database, people: People) -> None:
    remember(db, people.ada, "the password of the cellar is marmalade")
    db.drain()
    assert db.found(people.ada, "password cellar marmalade") == set()
    for mode in ("vector", "keyword"):
        assert "marmalade" not in str(db.search(people.ada, "marmalade", 100, mode=mode))
    with db.acting(people.ada) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute("select * from loci.search('marmalade', sources => '{memories}')")
    assert caught.value.sqlstate == "LC249"
    readable = db.rows(
        "select c.oid::regclass::text as name from pg_class as c where c.relkind in ('r', 'p', 'v', 'm')"
        " and c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace)"
    )
    assert {"name": "loci_private.memories"} in readable
    with db.connect(db.app_role()) as connection:
        connection.execute("select set_config('role', current_user, false)")
        for relation in readable:
            with connection.transaction():
                connection.execute("select loci.act_as(%s)", (people.ada,))
                try:
                    with connection.transaction():
                        rows = connection.execute(cast(LiteralString, f"select * from {relation['name']}")).fetchall()
                except psycopg.errors.InsufficientPrivilege:
                    continue
                assert "marmalade" not in str(rows), relation["name"]


# --- the same, the opposite -------------------------------------------------------------------------------------------


def test_the_same_text_again_renews_the_memory(db: Database, people: People) -> None:
    memory = remember(db, people.ada, "Ada likes green", importance=0.2, metadata={"a": 1})
    assert remember(db, people.ada, "  ada LIKES\n green ", importance=0.8, metadata={"b": 2}) == memory
    (row,) = recall(db, people.ada, "likes green")
    assert row["importance"] == pytest.approx(0.8)
    assert row["metadata"] == {"a": 1, "b": 2}
    assert row["renewed_at"] > row["created_at"]
    assert db.value("select mentions from loci_private.memories where memory_id = %s", memory) == 2
    # In another place, of another type, for other people it is another memory.
    others = {
        remember(db, people.ada, "Ada likes green", scope_id=people.acme),
        remember(db, people.ada, "Ada likes green", type="episodic"),
        remember(db, people.ada, "Ada likes green", scope_id=people.acme, audience=[people.bob]),
    }
    assert len(others | {memory}) == 4


def test_a_newer_fact_on_the_same_subject_supersedes(db: Database, people: People) -> None:
    old = remember(db, people.ada, "Ada lives in Oslo", subject="home of Ada")
    new = remember(db, people.ada, "Ada lives in Bergen", subject="Home of ada ")
    assert recalled(db, people.ada, "where Ada lives") == ["Ada lives in Bergen"]
    db.drain()
    assert recalled(db, people.ada, "where Ada lives") == ["Ada lives in Bergen"]
    assert db.rows("select memory_id, superseded_by from loci_private.memories where superseded_at is not null") == [
        {"memory_id": old, "superseded_by": new}
    ]
    assert db.value("select count(*) from loci_private.chunks where content = 'Ada lives in Oslo'") == 0
    # The old one is said again: it is the newest now.
    remember(db, people.ada, "Ada lives in Oslo", subject="home of Ada")
    assert recalled(db, people.ada, "where Ada lives") == ["Ada lives in Oslo"]


def test_memories_that_mean_the_same_become_one(db: Database, people: People) -> None:
    remember(db, people.ada, "The office cat is called Whiskers and sleeps on the printer all day long")
    remember(
        db, people.ada, "The office cat is called Whiskers and sleeps on the printer all day long.", importance=0.1
    )
    remember(db, people.ada, "Fire drills are on the first Monday of a month")
    db.drain()
    assert len(recalled(db, people.ada, "cat Whiskers")) == 3
    sweep(db)
    db.drain()
    found = recalled(db, people.ada, "cat Whiskers printer")
    assert found.count("The office cat is called Whiskers and sleeps on the printer all day long.") == 1
    assert "The office cat is called Whiskers and sleeps on the printer all day long" not in found
    (kept,) = db.rows(
        "select mentions, importance from loci_private.memories where content like %s and superseded_at is null",
        "%Whiskers%",
    )
    assert kept == {"mentions": 2, "importance": pytest.approx(0.5)}
    sweep(db)
    assert (
        db.value(
            "select count(*) from loci_private.memories where not compared and superseded_at is null and content like %s",
            "%Whiskers%",
        )
        == 0
    )


# --- going ------------------------------------------------------------------------------------------------------------


def test_working_memory_expires(db: Database, people: People) -> None:
    try:
        db.set_clock("2031-01-01 12:00")
        remember(db, people.ada, "the kettle is on", type="working")
        remember(db, people.ada, "the kettle is red", expires_at="2031-01-01 12:30")
        db.set_clock("2031-01-01 12:31")
        assert recalled(db, people.ada, "kettle") == ["the kettle is on"]
        db.set_clock("2031-01-02 12:01")
        assert recalled(db, people.ada, "kettle") == []
        assert sweep(db) >= 2
        assert db.value("select count(*) from loci_private.memories where content like 'the kettle%%'") == 0
    finally:
        db.set_clock(None)


def test_the_oldest_goes_when_a_scope_is_full(db: Database, people: People) -> None:
    db.execute("select loci.set_capacity(%s, 3)", str(people.ada))
    ids = [remember(db, people.ada, f"number {n}") for n in range(3)]
    remember(db, people.ada, "number 0")  # said again: not the oldest any more
    ids.append(remember(db, people.ada, "number 3"))
    kept = {
        row["memory_id"]
        for row in db.rows("select memory_id from loci_private.memories where scope_id = %s", people.ada)
    }
    assert kept == {ids[0], ids[2], ids[3]}
    # What nobody can recall goes before what somebody can.
    remember(db, people.ada, "number 4", subject="n")
    remember(db, people.ada, "number 5", subject="n")
    remember(db, people.ada, "number 6")
    assert set(recalled(db, people.ada, "number")) == {"number 0", "number 5", "number 6"} or set(
        recalled(db, people.ada, "number")
    ) == {"number 3", "number 5", "number 6"}
    assert db.value("select count(*) from loci_private.memories where scope_id = %s", people.ada) == 3


def test_capacity_of_a_level_and_of_a_scope(db: Database, people: People) -> None:
    db.execute("update loci.organization_members set role = 'owner' where user_id = %s", people.ada)
    for n in range(8):
        remember(db, people.ada, f"plank {n}", scope_id=people.acme)
        remember(db, people.eve, f"plank {n}", scope_id=people.umbrella)
    with db.acting(people.ada) as connection:
        connection.execute("select loci.set_capacity(%s, 5)", (str(people.acme),))
    assert sorted(recalled(db, people.ada, "plank")) == [f"plank {n}" for n in range(3, 8)]
    slots = db.rows("select slot from loci_private.memories where scope_id = %s", people.acme)
    assert max(row["slot"] for row in slots) < 5
    try:
        db.execute("select loci.set_capacity('organization', 2)")
        assert len(recalled(db, people.eve, "plank")) == 2
        assert len(recalled(db, people.ada, "plank")) == 5
    finally:
        db.execute("select loci.set_capacity('organization', null)")
    with db.acting(people.ada) as connection:
        connection.execute("select loci.set_capacity(%s, 0)", (str(people.acme),))
    assert recalled(db, people.ada, "plank") == []
    refused(db, "LC610", people.ada, scope_id=people.acme)
    for user, place in (
        (people.bob, people.acme),
        (people.eve, people.acme),
        (people.ada, "organization"),
        (people.ada, "moon"),
    ):
        with db.acting(user) as connection, pytest.raises(psycopg.Error) as caught:
            connection.execute("select loci.set_capacity(%s, 7)", (str(place),))
        assert caught.value.sqlstate == "LC613"
    with pytest.raises(psycopg.Error) as caught:
        db.execute("select loci.set_capacity('user', -1)")
    assert caught.value.sqlstate == "LC612"


def test_forgetting(db: Database, people: People) -> None:
    own = remember(db, people.ada, "a secret wish")
    shared = remember(db, people.bob, "a shared plan", scope_id=people.acme)
    derived = remember(
        db, people.ada, "wishes of all kinds", derived_from=[{"source": "memories", "key": own}], scope_id=people.ada
    )
    assert not forget(db, people.bob, own)
    assert not forget(db, people.ada, shared)
    assert not forget(db, people.ada, 10**15)
    assert forget(db, people.ada, own)
    assert not forget(db, people.ada, own)
    assert db.value("select count(*) from loci_private.memories where memory_id = %s", derived) == 0
    db.execute("update loci.organization_members set role = 'admin' where user_id = %s", people.ada)
    assert forget(db, people.ada, shared)
    with pytest.raises(psycopg.Error) as caught:
        forget(db, people.ada, None)
    assert caught.value.sqlstate == "LC611"
    db.drain()
    assert db.value("select count(*) from loci_private.chunks where content in ('a secret wish', 'a shared plan')") == 0


def test_scopes_and_users_take_their_memories_along(db: Database, people: People) -> None:
    project = db.project(people.acme, "short")
    remember(db, people.ada, "kept for a while", scope_id=project)
    remember(db, people.bob, "bob is leaving")
    said = remember(db, people.bob, "bob said this", scope_id=people.acme)
    db.execute("delete from loci.projects where project_id = %s", project)
    db.execute("delete from loci.users where user_id = %s", people.bob)
    assert (
        db.value("select count(*) from loci_private.memories where content in ('kept for a while', 'bob is leaving')")
        == 0
    )
    assert db.value("select created_by from loci_private.memories where memory_id = %s", said) is None


# --- where it comes from ----------------------------------------------------------------------------------------------


def test_a_memory_is_seen_only_with_its_sources(db: Database, people: People) -> None:
    document = db.document(people.acme, "The treasury holds forty crowns")
    db.drain()
    sources = [{"source": "documents", "key": str(document)}]
    remember(db, people.ada, "treasury: forty crowns", scope_id=people.acme, derived_from=sources)
    assert recalled(db, people.bob, "treasury crowns") == ["treasury: forty crowns"]
    # Narrowed afterwards: in the next statement.
    db.execute("update loci.documents set audience = %s where document_id = %s", [people.ada], document)
    assert recalled(db, people.bob, "treasury crowns") == []
    assert recalled(db, people.ada, "treasury crowns") == ["treasury: forty crowns"]
    db.execute("delete from loci.documents where document_id = %s", document)
    assert recalled(db, people.ada, "treasury crowns") == []
    db.drain()
    assert sweep(db) == 1
    assert db.value("select count(*) from loci_private.memories where content like 'treasury%%'") == 0


def test_what_was_said_as_well_outlives_its_source(db: Database, people: People) -> None:
    document = db.document(people.acme, "The bridge is closed on Sundays")
    db.drain()
    remember(
        db, people.ada, "no bridge on Sundays", scope_id=people.acme,
        derived_from=[{"source": "documents", "key": str(document)}],
    )  # fmt: skip
    remember(db, people.ada, "no bridge on Sundays", scope_id=people.acme)
    db.execute("delete from loci.documents where document_id = %s", document)
    db.drain()
    sweep(db)
    assert recalled(db, people.bob, "bridge Sundays") == ["no bridge on Sundays"]


def test_a_memory_is_never_wider_than_its_source(db: Database, people: People) -> None:
    project = db.project(people.acme, "quiet", "private")
    db.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", project, people.ada)
    documents = {
        "project": db.document(project, "quiet text"),
        "narrow": db.document(people.acme, "narrow text", audience=[people.ada, people.bob]),
        "own": db.document(people.ada, "own text"),
    }
    db.drain()

    def of(name: str) -> list[dict[str, str]]:
        return [{"source": "documents", "key": str(documents[name])}]

    for name, place in (
        ("project", {"scope_id": people.acme}),
        ("narrow", {"scope_id": people.acme}),
        ("narrow", {"scope_id": project}),
        ("own", {"scope_id": project}),
        ("own", {"scope_id": people.acme}),
    ):
        refused(db, "LC604", people.ada, derived_from=of(name), **place)
    for name, place in (
        ("project", {"scope_id": project}),
        ("project", {}),
        ("narrow", {"scope_id": people.acme, "audience": [people.bob]}),
        ("narrow", {"scope_id": project, "audience": [people.ada]}),
        ("own", {}),
    ):
        remember(db, people.ada, f"from {name} {place}", derived_from=of(name), **place)
    for key, source in (
        (str(documents["project"]), "documents"), (str(uuid4()), "documents"), ("x", "documents"), ("1", "nothing"), ("x", "memories"),
    ):  # fmt: skip
        refused(db, "LC603", people.bob, derived_from=[{"source": source, "key": key}])
    for malformed in ({}, [1], [{"source": "documents"}], [{"key": "a"}], [{"source": 1, "key": "a"}], "x"):
        refused(db, "LC603", people.ada, derived_from=malformed if not isinstance(malformed, str) else Jsonb(malformed))


# --- bad input --------------------------------------------------------------------------------------------------------


def test_bad_input(db: Database, people: People) -> None:
    refused(db, "LC600", None)
    for content in (None, "", " \n", "x" * 8193):
        refused(db, "LC601", people.ada, content)
    for scope in (uuid4(), people.umbrella, people.bob):
        refused(db, "LC602", people.ada, scope_id=scope)
    refused(db, "LC605", people.ada, type="vague")
    refused(db, "LC605", people.ada, type=None)
    for importance in (None, -0.1, 1.1, float("nan")):
        refused(db, "LC606", people.ada, importance=importance)
    refused(db, "LC607", people.ada, expires_at="2000-01-01")
    refused(db, "LC608", people.ada, metadata=[1])
    refused(db, "LC609", people.ada, scope_id=people.acme, audience=[])
    for query, k, types, code in (
        ("", 5, None, "LC300"),
        (None, 5, None, "LC300"),
        ("x", 0, None, "LC302"),
        ("x", None, None, "LC302"),
        ("x", 5, ["vague"], "LC605"),
    ):
        with db.acting(people.ada) as connection, pytest.raises(psycopg.Error) as caught:
            connection.execute("select * from loci.recall(%s, k => %s, types => %s)", (query, k, types))
        assert caught.value.sqlstate == code


@pytest.mark.parametrize(
    "text", ["'; drop table loci_private.memories; --", "$1 %I %s", "\\'\"", "a" * 8000, "🦉 Ünïcödé \x01"]
)
def test_hostile_text_is_just_text(db: Database, people: People, text: str) -> None:
    remember(db, people.ada, text, subject=text[:50], metadata={text[:50]: text[:50]})
    recall(db, people.ada, text)
    db.drain()
    assert text in recalled(db, people.ada, text)


def test_stats_count_and_say_nothing(db: Database, people: People) -> None:
    remember(db, people.ada, "counted but never shown", scope_id=people.acme)
    with db.connect(db.login_role("watching", "loci_monitor")) as connection:
        rows = connection.execute("select * from loci.memory_stats where level = 'organization'").fetchall()
    assert rows and all(row["capacity"] == 1000 for row in rows)
    assert "counted" not in str(rows)
