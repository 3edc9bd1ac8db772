"""The server is killed with SIGKILL in the middle of work: nothing is lost, nothing doubled, nobody waits for a lease."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.database import Connection, Database, People, embeddings_table, migrate, wait_until
from tests.pipeline.background import Background, background, leased
from tests.pipeline.rows import consistent, indexed_keys

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest, own_server: Any) -> Any:
    """The server with Loci in its database, hash model, no job that would drain by itself."""
    if request.config.getoption("--server") == "local":
        migrate(own_server.dsn("loci"))
    database = Database("loci", own_server.dsn)
    if database.rows("select from pg_extension where extname = 'pg_cron'"):
        database.execute("update cron.job set active = false")
    database.execute("select loci.add_embedding_model('hash', provider => 'hash', dimensions => 64)")
    database.execute("select loci.use_embedding_model('hash')")
    database.drain()
    # The tests' servers do not wait for their commits to be written; here they must.
    database.execute("alter database loci set synchronous_commit = on")
    database.close()
    return own_server


@pytest.fixture
def server(prepared: Any) -> Iterator[Any]:
    yield prepared
    prepared.start()
    with open_database(prepared) as database:
        for row in database.rows("select relation::oid as oid from loci.sources where name <> 'documents'"):
            database.execute(f"select loci.unwatch({row['oid']}::regclass)")
        database.execute("drop schema if exists app cascade; delete from loci.documents")
        database.set_clock(None)
        database.drain()
        consistent(database)


@contextmanager
def open_database(server: Any) -> Iterator[Database]:
    database = Database("loci", server.dsn)
    try:
        yield database
    finally:
        database.close()


def write_documents(db: Database, people: People, count: int, paragraphs: int = 1) -> set[str]:
    with db.connect() as connection:
        rows = connection.execute(
            "insert into loci.documents (scope_id, content)"
            " select %s, (select string_agg(format('Document %%s has paragraph %%s. ', n, p) || repeat('word ', 150), E'\\n\\n')"
            " from generate_series(1, %s) as p) from generate_series(1, %s) as n returning document_id",
            (people.acme, paragraphs, count),
        ).fetchall()
    return {str(row["document_id"]) for row in rows}


def wait_for_rows(db: Database, drain: Background, count: int) -> None:
    """Until the drain has stored so many more rows, or all there were."""
    query = "select count(*) from loci_private.source_rows"
    before = db.value(query)
    wait_until(lambda: db.value(query) >= before + count or not drain.running, "it gets on")


def crash(server: Any, db: Database) -> Database:
    """Kill it, start it again; the database anew."""
    server.kill()
    db.close()
    server.start()
    return Database("loci", server.dsn)


@pytest.mark.parametrize("stage", ["split", "embed"])
def test_killed_during_a_drain(server: Any, stage: str) -> None:
    db = Database("loci", server.dsn)
    people = db.people()
    keys = write_documents(db, people, 800, 2)
    vectors = f"select count(*) from {embeddings_table(db)}"
    with background(db) as drain:
        if stage == "split":
            wait_until(
                lambda: db.value("select count(*) from loci_private.chunks") > 0 and leased(db, "row_queue"),
                "it splits",
            )
        else:
            wait_until(lambda: db.value(vectors) > 100 and leased(db, "embed_queue"), "it embeds")
        assert drain.running
        db = crash(server, db)
        drain.wait()
        assert drain.error is not None
        assert db.waiting() > 0
        # One run does it all, by the clock as it is: leases ended with the server.
        db.drain(100)
        assert leased(db, "row_queue") + leased(db, "embed_queue") == 0
        assert indexed_keys(db, "documents") == keys
        assert db.value("select count(*) from loci_private.source_rows") == len(keys)
        consistent(db)
        db.close()


def test_killed_again_and_again(server: Any) -> None:
    db = Database("loci", server.dsn)
    people = db.people()
    keys = write_documents(db, people, 500)
    doomed = sorted(keys)[:100]
    for round_number in range(3):
        with background(db) as drain:
            wait_for_rows(db, drain, 50)
            if round_number == 1:
                with db.connect() as app:
                    app.execute("delete from loci.documents where document_id = any(%s)", (doomed,))
            db = crash(server, db)
            drain.wait()
    db.drain(100)
    assert indexed_keys(db, "documents") == keys - set(doomed)
    consistent(db)
    db.close()


def test_killed_during_a_backfill(server: Any) -> None:
    """watch() is all or nothing."""
    db = Database("loci", server.dsn)
    people = db.people()
    with db.connect() as connection:
        connection.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
        connection.execute(
            "insert into app.notes select n, 'note ' || n, %s from generate_series(1, 1000) as n", (people.acme,)
        )
    with db.connect() as connection:
        connection.execute("begin")
        connection.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
        db = crash(server, db)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("commit")
    assert db.rows("select from loci.sources where name = 'notes'") == []
    assert db.waiting() == 0
    with db.connect() as connection:
        connection.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
    with background(db) as drain:
        wait_until(lambda: len(indexed_keys(db, "notes")) > 100, "the backfill gets on")
        db = crash(server, db)
        drain.wait()
    db.drain(100)
    assert len(indexed_keys(db, "notes")) == 1000
    consistent(db)
    db.close()


def test_killed_during_copy(server: Any) -> None:
    db = Database("loci", server.dsn)
    people = db.people()
    with db.connect() as connection:
        connection.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
        connection.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
        connection.execute("insert into app.notes values (0, 'before', %s)", (people.acme,))

    with db.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg.OperationalError):
            with cursor.copy("copy app.notes from stdin") as copy:
                for n in range(1, 5000):
                    copy.write_row((n, f"copied {n}", people.acme))
                db = crash(server, db)
                while True:
                    copy.write_row((0, "x" * 1000, people.acme))
    assert db.value("select count(*) from app.notes") == 1
    assert db.waiting() <= 1
    with db.connect() as connection, connection.cursor() as cursor, cursor.copy("copy app.notes from stdin") as copy:
        for n in range(1, 500):
            copy.write_row((n, f"copied {n}", people.acme))
    db = crash(server, db)
    db.drain(100)
    assert len(indexed_keys(db, "notes")) == 500
    consistent(db)
    db.close()


def claimed_work(db: Database, people: People) -> tuple[set[str], Connection]:
    """Documents all of which a session has leased, some to split, some to embed."""
    keys = write_documents(db, people, 40)
    db.execute("update loci.embedding_models set provider = 'nobody' where name = 'hash'")
    db.drain()
    db.execute("update loci.embedding_models set provider = 'hash' where name = 'hash'")
    db.execute("update loci_private.embed_queue set available_at = '-infinity'")
    keys |= write_documents(db, people, 30)
    worker = db.connect()
    # Rows in bulk may be two entries, of which a claim unpacks one.
    lease = uuid4()
    while worker.execute("select loci_private.claim_rows(%s)", (lease,)).rowcount:
        pass
    worker.execute(
        "select loci_private.claim_chunks(gen_random_uuid(), model_id) from loci.embedding_models where name = 'hash'"
    )
    assert (leased(db, "row_queue"), leased(db, "embed_queue")) == (30, 40)
    return keys, worker


def reached(db: Database, drain: Background, state: str) -> bool:
    """Whether the switch is there, or the drain has ended."""
    return bool(db.rows(f"select from loci_private.chunking_assignments where {state}")) or not drain.running


@pytest.mark.parametrize("stage", ["splitting", "coming into use", "removing", "all of it"])
def test_killed_during_a_switch(server: Any, stage: str) -> None:
    """What is searched is all of the old or all of the new."""
    db = Database("loci", server.dsn)
    people = db.people()
    keys = write_documents(db, people, 60, 6)
    db.drain(100)
    small = {"splitting": 200, "coming into use": 220, "removing": 240, "all of it": 260}[stage]
    before = db.value("select active_chunking from loci_private.chunking_assignments")
    db.execute("select loci.set_chunking('loci.documents', %s, 0)", small)
    if stage == "all of it":
        for state in ("fed_row > 0", "active_chunking = target_chunking", "not surplus"):
            with background(db) as drain:
                wait_until(partial(reached, db, drain, state), state)
                db = crash(server, db)
                drain.wait()
    else:
        if stage == "splitting":
            step = "loci_private.feed_rows()"
        else:
            # Fill it, up to the step in question.
            with db.connect() as holder:
                holder.execute("begin; select from loci_private.chunking_assignments for key share")
                db.drain(100)
                holder.execute("commit")
            step = "loci_private.activate_complete()"
            if stage == "removing":
                assert db.value(f"select {step}") == 1
                step = "loci_private.clear_surplus(7)"
        with db.connect() as connection:
            connection.execute("begin")
            assert next(iter((connection.execute(f"select {step}").fetchone() or {}).values())) > 0
            db = crash(server, db)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("commit")
        in_use = db.value("select active_chunking from loci_private.chunking_assignments")
        assert (in_use == before) == (stage != "removing")
        hits = [row["chunk_id"] for row in db.search(people.ada, "document paragraph", k=50, mode="vector")]
        assert len(hits) == 50
        assert db.rows("select distinct chunking_id from loci_private.chunks where chunk_id = any(%s)", hits) == [
            {"chunking_id": in_use}
        ]
    db.drain(100)
    assert indexed_keys(db, "documents") == keys
    assert (
        db.rows("select from loci_private.chunking_assignments where surplus or active_chunking <> target_chunking")
        == []
    )
    assert db.value("select max(token_count) <= %s from loci_private.chunks", small)
    assert (
        db.value(
            "select max(n) from (select count(distinct chunking_id) as n from loci_private.chunks group by row_id) as s"
        )
        == 1
    )
    consistent(db)
    db.close()


def test_leases_end_with_the_server(server: Any) -> None:
    db = Database("loci", server.dsn)
    keys, worker = claimed_work(db, db.people())
    db.drain()
    assert indexed_keys(db, "documents") == set()
    db = crash(server, db)
    worker.close()
    assert (leased(db, "row_queue"), leased(db, "embed_queue")) == (30, 40)
    db.drain()
    assert indexed_keys(db, "documents") == keys
    consistent(db)
    db.close()


def test_one_backend_is_killed(server: Any) -> None:
    """All sessions end and the server recovers by itself; so did the dead worker's lease."""
    db = Database("loci", server.dsn)
    people = db.people()
    keys, worker = claimed_work(db, people)
    server.run(["kill", "-9", str(worker.info.backend_pid)])
    with pytest.raises(psycopg.OperationalError):
        wait_until(lambda: not worker.execute("select 1"), "its connection ends")
    db.close()
    db = wait_until(lambda: reconnect(server), "the server has recovered")
    assert (leased(db, "row_queue"), leased(db, "embed_queue")) == (30, 40)
    assert db.value("select count(*) from loci_private.leases") == 2
    db.drain()
    assert indexed_keys(db, "documents") == keys
    assert db.value("select count(*) from loci_private.leases") == 0
    consistent(db)
    db.close()


def reconnect(server: Any) -> Database | None:
    try:
        return Database("loci", server.dsn)
    except psycopg.OperationalError:
        return None
