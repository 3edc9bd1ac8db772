"""Redaction: what a model is given, in organizations that want it and in those that do not.

The hash provider computes a vector from nothing but its text, so a vector says what text was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Connection, Database, People, embeddings_table
from tests.pipeline.rows import chunks, consistent, failures, texts


@pytest.fixture
def people(db: Database) -> Iterator[People]:
    yield db.people()
    db.execute("delete from loci.documents")
    db.execute("delete from loci.redaction_patterns where default_pattern is null")
    db.execute("update loci.redaction_patterns set pattern = null, enabled = true")
    db.drain()
    assert (db.waiting(), failures(db)) == (0, [])


def redact(db: Database, organization: UUID, what: Any) -> None:
    db.execute(
        "update loci.organizations set settings = settings || jsonb_build_object('redact', %s::jsonb) "
        "where organization_id = %s",
        Jsonb(what),
        organization,
    )


def vector_of(db: Database, text: str) -> str:
    """What the model makes of a text as it stands."""
    return str(db.value("select loci.embed(%s, 'hash', 'passage')::text", text))


def vectors(db: Database, key: object, table: str | None = None) -> list[str]:
    return [
        row["embedding"]
        for row in db.rows(
            f"""
            select e.embedding::text
            from {table or embeddings_table(db)} as e
            join loci_private.chunks as c on c.chunk_id = e.chunk_id
            join loci_private.source_rows as r on r.row_id = c.row_id
            where r.key = %s order by c.ordinal
            """,
            str(key),
        )
    ]


def test_off_unless_asked_for(db: Database, people: People) -> None:
    key = db.document(people.acme, "write to ada@example.org")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "write to ada@example.org")]
    assert chunks(db, key)[0]["redacted"] is None


def test_the_model_sees_placeholders_and_nobody_else_does(db: Database, people: People) -> None:
    redact(db, people.acme, True)
    content = "write to ada@example.org or pay 4111 1111 1111 1111"
    key = db.document(people.acme, content, title="Call +49 30 1234567")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "Call [PHONE]\n\nwrite to [EMAIL] or pay [CARD]")]
    assert texts(db, key) == [content]
    (row,) = db.search(people.bob, "ada@example.org", k=1)
    assert (row["content"], row["title"], row["keyword_rank"]) == (content, "Call +49 30 1234567", 1)
    consistent(db)


def test_only_the_kinds_that_are_listed(db: Database, people: People) -> None:
    redact(db, people.acme, ["email", "iban"])
    key = db.document(people.acme, "ada@example.org, 4111 1111 1111 1111")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "[EMAIL], 4111 1111 1111 1111")]


@pytest.mark.parametrize("nothing", [False, None, []])
def test_nothing_is_nothing(db: Database, people: People, nothing: Any) -> None:
    redact(db, people.acme, nothing)
    key = db.document(people.acme, "ada@example.org")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "ada@example.org")]


def test_users_and_projects_follow_their_organization(db: Database, people: People) -> None:
    redact(db, people.acme, True)
    project = db.project(people.acme, "p")
    keys = [db.document(scope, "mail ada@example.org") for scope in (people.ada, project)]
    keys.append(db.document(people.eve, "mail ada@example.org"))
    db.drain()
    assert [vectors(db, key) for key in keys] == [
        [vector_of(db, "mail [EMAIL]")],
        [vector_of(db, "mail [EMAIL]")],
        [vector_of(db, "mail ada@example.org")],
    ]


def test_one_text_in_two_organizations(db: Database, people: People) -> None:
    """Identical text is embedded once, and yet never lent to those who must not or need not have it."""
    text = "mail ada@example.org about the boat"
    redact(db, people.acme, True)
    scopes = [people.umbrella, people.acme, people.umbrella, people.acme]
    keys = []
    for scope in scopes:
        keys.append(db.document(scope, text))
        db.drain()
    plain, shown = vector_of(db, text), vector_of(db, "mail [EMAIL] about the boat")
    assert [vectors(db, key) for key in keys] == [[plain], [shown], [plain], [shown]]
    hashes = [chunks(db, key)[0]["text_hash"] for key in keys]
    assert hashes[0] == hashes[2] != hashes[1] == hashes[3]
    # Together in one batch, too.
    keys = [db.document(scope, text + ".") for scope in scopes]
    db.drain()
    plain, shown = vector_of(db, text + "."), vector_of(db, "mail [EMAIL] about the boat.")
    assert [vectors(db, key) for key in keys] == [[plain], [shown], [plain], [shown]]


def test_a_change_of_the_setting_embeds_what_it_concerns_again(db: Database, people: People) -> None:
    clean = db.document(people.acme, "nothing to hide")
    dirty = db.document(people.acme, "mail ada@example.org")
    other = db.document(people.umbrella, "mail ada@example.org")
    db.drain()
    before = {key: chunks(db, key)[0] for key in (clean, dirty, other)}

    redact(db, people.acme, True)
    assert db.value("select count(*) from loci_private.row_queue") == 2
    # Search goes on meanwhile.
    assert "mail ada@example.org" in db.found(people.ada, "mail")
    db.drain()
    assert vectors(db, dirty) == [vector_of(db, "mail [EMAIL]")]
    assert vectors(db, other) == [vector_of(db, "mail ada@example.org")]
    for key in (clean, other):
        assert chunks(db, key)[0]["embedded_at"] == before[key]["embedded_at"]
        assert chunks(db, key)[0]["chunk_id"] == before[key]["chunk_id"]
    assert chunks(db, dirty)[0]["chunk_id"] != before[dirty]["chunk_id"]
    consistent(db)

    redact(db, people.acme, True)
    assert db.waiting() == 0
    redact(db, people.acme, ["card"])
    db.drain()
    assert vectors(db, dirty) == [vector_of(db, "mail ada@example.org")]
    consistent(db)


def test_new_personal_data_under_the_same_placeholder(db: Database, people: People) -> None:
    """The vector stays, since its text does; what people find and read is new."""
    redact(db, people.acme, True)
    key = db.document(people.acme, "mail ada@example.org")
    db.drain()
    before = chunks(db, key)[0]
    db.execute("update loci.documents set content = 'mail bob@example.org' where document_id = %s", key)
    db.drain()
    after = chunks(db, key)[0]
    assert after["content"] == "mail bob@example.org"
    assert (after["chunk_id"], after["embedded_at"]) == (before["chunk_id"], before["embedded_at"])
    (row,) = db.search(people.ada, "bob@example.org", k=1, mode="keyword")
    assert row["content"] == "mail bob@example.org"
    assert db.search(people.ada, '"ada@example.org"', k=1, mode="keyword") == []
    assert db.search(people.ada, "ada", k=1, mode="keyword") == []
    # A text that looks like a placeholder is not one.
    db.execute("update loci.documents set content = 'mail [EMAIL]' where document_id = %s", key)
    db.drain()
    assert texts(db, key) == ["mail [EMAIL]"]
    assert chunks(db, key)[0]["redacted"] is None
    consistent(db)


def test_what_was_split_before_is_never_sent(db: Database, people: People) -> None:
    key = db.document(people.acme, "mail ada@example.org")
    db.drain()
    db.execute("select loci.add_embedding_model('later', provider => 'hash', dimensions => 64)")
    db.execute("select loci.use_embedding_model('later')")
    try:
        redact(db, people.acme, True)
        # As if the row had been split a moment after the setting was changed, by a drain that had read it before.
        db.execute("delete from loci_private.row_queue")
        lease = db.value("select gen_random_uuid()")
        model = db.value("select model_id from loci.embedding_models where name = 'later'")
        claimed = db.rows("select * from loci_private.claim_chunks(%s, %s)", lease, model)
        assert [claim["passage"] for claim in claimed] == [None]
        assert db.rows("select key, op from loci_private.row_queue") == [{"key": str(key), "op": "upsert"}]
        db.execute("select loci_private.release(%s)", lease)
        db.drain()
        table = f"loci_private.embeddings_{model}"
        assert vectors(db, key, table) == [str(db.value("select loci.embed('mail [EMAIL]', 'later', 'passage')::text"))]
        consistent(db)
    finally:
        db.execute("select loci.use_embedding_model('hash')")
        db.drain()
        db.execute("select loci.drop_embedding_model('later')")


def test_reconcile_finds_what_was_missed(db: Database, people: People) -> None:
    key = db.document(people.acme, "mail ada@example.org")
    db.drain()
    redact(db, people.acme, True)
    db.execute("delete from loci_private.row_queue")
    assert db.value("select loci.reconcile()") == 1
    db.drain()
    assert vectors(db, key) == [vector_of(db, "mail [EMAIL]")]
    assert db.value("select loci.reconcile()") == 0


def test_a_row_that_moves_to_another_organization(db: Database, people: People) -> None:
    redact(db, people.acme, True)
    key = db.document(people.umbrella, "mail ada@example.org")
    db.drain()
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.acme, key)
    db.drain()
    assert vectors(db, key) == [vector_of(db, "mail [EMAIL]")]
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.umbrella, key)
    db.drain()
    assert vectors(db, key) == [vector_of(db, "mail ada@example.org")]
    consistent(db)


def test_nothing_is_recognized_by_halves(db: Database, people: People) -> None:
    """A key longer than a chunk is hidden in all of its chunks."""
    redact(db, people.acme, True)
    body = "".join("MIIEpAIBAAKCAQEA75qTg8dR1vXzK3pLmN0oPqRsTuVw\n"[i % 7 :] for i in range(60))
    content = f"Our key:\n-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nKeep it."
    key = db.document(people.acme, content)
    db.drain()
    found = chunks(db, key)
    assert len(found) > 3
    assert all("MIIE" not in chunk["redacted"] and "[SECRET]" in chunk["redacted"] for chunk in found)
    assert "MIIE" in found[1]["content"]


# --- questions --------------------------------------------------------------------------------------------------------


def test_questions_are_redacted_too(db: Database, people: People) -> None:
    redact(db, people.acme, True)
    for scope in (people.acme, people.umbrella):
        db.document(scope, "mail ada@example.org at once")
    db.drain()
    (row,) = db.search(people.ada, "mail somebody.else@example.net at once", k=1, mode="vector")
    assert row["similarity"] == pytest.approx(1, abs=1e-3)
    (row,) = db.search(people.eve, "mail somebody.else@example.net at once", k=1, mode="vector")
    assert row["similarity"] < 0.99
    (row,) = db.search(people.eve, "mail ada@example.org at once", k=1, mode="vector")
    assert row["similarity"] == pytest.approx(1, abs=1e-3)


def test_embed_is_redacted_for_its_user(db: Database, people: People) -> None:
    redact(db, people.acme, True)
    for user, expected in ((people.ada, "mail [EMAIL]"), (people.eve, "mail ada@example.org")):
        with db.acting(user) as connection:
            row = connection.execute(
                "select loci.embed('mail ada@example.org', 'hash', 'passage')::text as v"
            ).fetchone()
        assert row is not None
        assert row["v"] == vector_of(db, expected)


# --- settings and patterns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["yes", 1, {}, ["emial"], ["email", 3], [None]])
def test_a_setting_that_is_none(db: Database, people: People, value: Any) -> None:
    with pytest.raises(psycopg.Error) as caught:
        redact(db, people.acme, value)
    assert caught.value.sqlstate == "LC280"
    assert caught.value.diag.message_hint


@pytest.fixture
def admin(db: Database) -> Iterator[Connection]:
    with db.connect(db.login_role("admin", "loci_admin")) as connection:
        yield connection


ADD = "insert into loci.redaction_patterns (organization_id, name, kind, pattern) values (%s, %s, %s, %s)"


def test_patterns_of_an_organization(db: Database, people: People, admin: Connection) -> None:
    for organization in (people.acme, people.umbrella):
        redact(db, organization, True)
    keys = [db.document(scope, "customer K123456, ada@example.org") for scope in (people.acme, people.umbrella)]
    db.drain()
    admin.execute(ADD, (people.acme, "customer", "customer", "K[0-9]{6}"))
    db.drain()
    assert vectors(db, keys[0]) == [vector_of(db, "customer [CUSTOMER], [EMAIL]")]
    assert vectors(db, keys[1]) == [vector_of(db, "customer K123456, [EMAIL]")]
    # Its own row takes the place of the general one.
    admin.execute(
        "insert into loci.redaction_patterns (organization_id, name, kind, pattern, enabled) values (%s, 'email', 'email', 'x', false)",
        (people.acme,),
    )
    db.drain()
    assert vectors(db, keys[0]) == [vector_of(db, "customer [CUSTOMER], ada@example.org")]
    assert vectors(db, keys[1]) == [vector_of(db, "customer K123456, [EMAIL]")]
    redact(db, people.acme, ["customer"])
    with pytest.raises(psycopg.Error) as caught:
        redact(db, people.umbrella, ["customer"])
    assert caught.value.sqlstate == "LC280"


def test_patterns_for_all(db: Database, people: People, admin: Connection) -> None:
    redact(db, people.acme, True)
    key = db.document(people.acme, "mail ada@example.org")
    admin.execute("update loci.redaction_patterns set enabled = false where name = 'email'")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "mail ada@example.org")]
    admin.execute("update loci.redaction_patterns set enabled = true, pattern = 'ada@' where name = 'email'")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "mail [EMAIL]example.org")]
    admin.execute("update loci.redaction_patterns set pattern = null where name = 'email'")
    db.drain()
    assert vectors(db, key) == [vector_of(db, "mail [EMAIL]")]


@pytest.mark.parametrize(
    ("pattern", "checksum", "code"),
    [("(a{1,9}){1,99}", None, "LC281"), ("(", None, "LC281"), ("a+", None, "LC281"), ("abc", "x", "LC282")],
)
def test_patterns_that_are_refused(
    db: Database, people: People, admin: Connection, pattern: str, checksum: str | None, code: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        admin.execute(
            "insert into loci.redaction_patterns (name, kind, pattern, checksum) values ('mine', 'mine', %s, %s)",
            (pattern, checksum),
        )
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_hint


def test_patterns_are_the_administrators(db: Database, people: People, admin: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        admin.execute("update loci.redaction_patterns set default_pattern = 'x'")
    for role in (db.app_role(), db.login_role("worker", "loci_worker"), db.login_role("monitor", "loci_monitor")):
        with db.connect(role) as connection:
            for statement in ("select * from loci.redaction_patterns", "delete from loci.redaction_patterns"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    # Patterns, which may name secret projects, are not in the drain's reports either.
    assert failures(db) == []
