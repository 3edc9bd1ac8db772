"""loci.ingest_file(): files become documents, in the places that their user sees, or nothing at all is stored."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Database, People, wait_until
from tests.files import encrypted_pdf, pdf, repacked, word, zipped

INGEST = "select loci.ingest_file(%s, %s, %s, %s)"


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


def ingest(db: Database, user: UUID | None, scope: UUID | None, name: str, data: bytes | None, **metadata: Any) -> UUID:
    with db.acting(user) as connection:
        row = connection.execute(INGEST, (scope, name, data, Jsonb(metadata))).fetchone()
    assert row is not None
    return UUID(str(row["ingest_file"]))


def document(db: Database, key: UUID) -> dict[str, Any]:
    (row,) = db.rows("select * from loci.documents where document_id = %s", key)
    return row


def test_a_pdf_is_found_with_its_page(db: Database, people: People) -> None:
    pages = [
        " ".join([f"Chapter {n} is about {animal}."] * 60)
        for n, animal in enumerate(("walruses", "puffins", "lemmings"), 1)
    ]
    key = ingest(db, people.ada, people.acme, "arctic.pdf", pdf(pages, title="Arctic animals"), shelf=7)
    stored = document(db, key)
    assert (stored["title"], stored["created_by"]) == ("Arctic animals", people.ada)
    assert stored["metadata"] == {"shelf": 7, "filename": "arctic.pdf", "pages": 3}
    db.drain()
    (row,) = db.search(people.bob, "lemmings", k=1)
    assert row["key"] == str(key)
    assert row["metadata"] == {"shelf": 7, "filename": "arctic.pdf", "pages": 3, "page": 3}
    assert row["title"] == "Arctic animals"
    (row,) = db.search(people.bob, "puffins", k=1)
    assert row["metadata"]["page"] == 2


def test_a_word_document_is_found_with_its_heading(db: Database, people: People) -> None:
    def write(d: Any) -> None:
        for animal in ("Badgers", "Otters"):
            d.add_heading(animal, 1)
            d.add_heading("Food", 2)
            d.add_paragraph(" ".join([f"{animal} eat."] * 150))

    key = ingest(db, people.ada, people.acme, "forest.docx", word(write))
    db.drain()
    (row,) = db.search(people.ada, "otters eat", k=1)
    assert (row["key"], row["title"], row["metadata"]["heading"]) == (str(key), "forest", "Otters > Food")
    assert "page" not in row["metadata"]


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("zebra.html", b"<!doctype html><title>Zebra page</title><h1>Stripes</h1><p>zebras everywhere", "Zebra page"),
        ("zebra.md", b"# Stripes\n\nzebras everywhere", "Stripes"),
        ("zebra.txt", "\ufeffzebras everywhere".encode(), "zebra"),
    ],
)
def test_pages_and_text(db: Database, people: People, name: str, data: bytes, title: str) -> None:
    key = ingest(db, people.ada, people.ada, name, data)
    db.drain()
    rows = [row for row in db.search(people.ada, "zebras everywhere", k=20) if row["key"] == str(key)]
    assert rows
    assert rows[0]["title"] == title
    assert rows[0]["metadata"].get("heading") == (None if name.endswith("txt") else "Stripes")


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_the_scope_decides_who_finds_it(db: Database, people: People) -> None:
    key = ingest(db, people.ada, None, "diary.txt", b"a secret about quokkas")
    assert document(db, key)["scope_id"] == people.ada
    db.drain()
    assert "a secret about quokkas" in db.found(people.ada, "quokkas")
    assert "a secret about quokkas" not in db.found(people.bob, "quokkas")


@pytest.mark.parametrize("data", [b"text", None, b"\x89PNG\r\n\x1a\n"])
def test_nothing_is_read_for_a_scope_out_of_sight(db: Database, people: People, data: bytes | None) -> None:
    for scope in (people.umbrella, people.eve, people.bob, uuid4()):
        with pytest.raises(psycopg.Error) as caught:
            ingest(db, people.ada, scope, "x.txt", data)
        assert caught.value.sqlstate == "LC141"


def test_nobody_ingests_nothing(db: Database, people: People) -> None:
    for scope, code in ((people.acme, "LC141"), (None, "LC140")):
        with pytest.raises(psycopg.Error) as caught:
            ingest(db, None, scope, "x.txt", b"text")
        assert caught.value.sqlstate == code


def test_others_have_no_right_to_it(db: Database, people: People) -> None:
    for role in (db.login_role("monitor", "loci_monitor"), db.login_role("nobody")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.connect(role) as connection:
            connection.execute(INGEST, (people.acme, "x.txt", b"text", Jsonb({})))
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.acting(people.ada) as connection:
        connection.execute("select loci_private.convert_file('x', 'x', '{}')")


def test_an_administrator_ingests_anywhere(db: Database, people: People) -> None:
    with db.connect(db.login_role("admin", "loci_admin")) as connection:
        connection.execute(INGEST, (people.umbrella, "x.txt", b"text of the administrator", Jsonb({})))
    assert db.value("select created_by from loci.documents where content = 'text of the administrator'") is None


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, bytes | None, str]] = [
    ("picture.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "LC260"),
    ("setup.exe", b"MZ\x90\0" + b"\0" * 50, "LC260"),
    ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "LC260"),
    ("sheet.xlsx", zipped({"xl/workbook.xml": b"<a/>", "[Content_Types].xml": b"<a/>"}), "LC260"),
    ("locked.pdf", encrypted_pdf(["secret"], "password"), "LC261"),
    ("cut.pdf", pdf(["text"] * 50)[:3000], "LC262"),
    ("cut.docx", word(lambda d: d.add_paragraph("x"))[:3000], "LC262"),
    ("empty.txt", b"", "LC263"),
    ("empty.txt", None, "LC263"),
    ("scan.pdf", pdf(["", ""]), "LC264"),
    ("bomb.docx", zipped({"word/document.xml": b" " * 30_000_000}), "LC266"),
    ("entities.docx", repacked(word(lambda d: None), document=b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "LC266"),
    ("latin.txt", "grüße".encode("latin-1"), "LC267"),
    ("", b"text", "LC269"),
]


@pytest.mark.parametrize(("name", "data", "code"), REFUSED, ids=[f"{name}-{code}" for name, _, code in REFUSED])
def test_refused_and_nothing_stored(db: Database, people: People, name: str, data: bytes | None, code: str) -> None:
    before = db.value("select count(*) from loci.documents")
    with pytest.raises(psycopg.Error) as caught:
        ingest(db, people.ada, people.acme, name, data)
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_hint
    assert db.value("select count(*) from loci.documents") == before


@pytest.mark.parametrize("metadata", [None, [], "x", 1])
def test_metadata_is_an_object(db: Database, people: People, metadata: Any) -> None:
    with pytest.raises(psycopg.Error) as caught, db.acting(people.ada) as connection:
        connection.execute(INGEST, (people.acme, "x.txt", b"text", None if metadata is None else Jsonb(metadata)))
    assert caught.value.sqlstate == "LC269"


@pytest.mark.parametrize(
    ("setting", "value", "data"),
    [
        ("ingest_max_bytes", 1024, b"word " * 300),
        ("ingest_max_pages", 2, pdf(["a", "b", "c"])),
        ("ingest_max_text_bytes", 1024, pdf(["word " * 100] * 5)),
        ("max_content_bytes", 1024, pdf(["word " * 100] * 5)),
    ],
)
def test_limits_are_settings(db: Database, people: People, setting: str, value: int, data: bytes) -> None:
    db.execute("update loci.settings set value = %s where name = %s", str(value), setting)
    try:
        with pytest.raises(psycopg.Error) as caught:
            ingest(db, people.ada, people.acme, "file", data)
    finally:
        db.execute("update loci.settings set value = null where name = %s", setting)
    assert caught.value.sqlstate == "LC265"
    ingest(db, people.ada, people.acme, "file", data)


def test_expansion_and_time_are_settings(db: Database, people: People) -> None:
    data = zipped({"word/document.xml": b" " * 30_000_000 + b"<a/>"})
    slow = pdf(["some words"] * 2000)
    db.execute(
        "update loci.settings set value = v.value from (values ('ingest_max_expansion', '10000'), "
        "('ingest_max_seconds', '1')) as v (name, value) where v.name = settings.name"
    )
    try:
        with pytest.raises(psycopg.Error) as caught:
            ingest(db, people.ada, people.acme, "x.docx", data)
        assert caught.value.sqlstate in ("LC262", "LC264")
        with pytest.raises(psycopg.Error) as caught:
            ingest(db, people.ada, people.acme, "x.pdf", slow)
        assert caught.value.sqlstate == "LC268"
    finally:
        db.execute("update loci.settings set value = null where name ~ '^ingest_'")


def test_a_cancel_ends_it_at_once(db: Database, people: People) -> None:
    slow = pdf(["some words"] * 4000)
    codes: list[str | None] = []
    with db.connect() as connection:
        backend = connection.info.backend_pid

        def run() -> None:
            try:
                connection.execute(INGEST, (people.acme, "x.pdf", slow, Jsonb({})))
                codes.append(None)
            except psycopg.Error as error:
                codes.append(error.sqlstate)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(
            lambda: db.rows(
                "select from pg_stat_activity where pid = %s and state = 'active' "
                "and clock_timestamp() - query_start > interval '0.5 s'",
                backend,
            ),
            "the file is being read",
        )
        db.execute("select pg_cancel_backend(%s)", backend)
        thread.join(1.5)
        assert not thread.is_alive()
        assert codes == ["57014"]
        # The session goes on.
        row = connection.execute(INGEST, (people.acme, "y.pdf", pdf(["fine"]), Jsonb({}))).fetchone()
        assert row is not None
