"""The life of a model's index: made after the load, beside whatever goes on, and made again when that went wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.database import Database, People, wait_until
from tests.functions.vectors import clusters, fill, model, run_statement
from tests.pipeline.background import background, wait_for_lock

COUNT = 60


@pytest.fixture
def world(new_database: Callable[..., Database]) -> tuple[Database, People, str]:
    db = new_database()
    people = db.people()
    db.execute("update loci.settings set value = '50' where name = 'index_threshold'")
    table = model(db, "tiny", 16)
    fill(db, table, clusters(random.Random(2), COUNT, 16), [people.acme] * COUNT)
    return db, people, table


def index(db: Database, name: str = "tiny") -> dict[str, Any]:
    return db.rows("select * from loci.model_indexes where model = %s", name)[0]


def building(db: Database, table: str) -> Any:
    """A build that waits for a transaction that has written to the table and is not over."""
    return background(db, index(db)["statement"], application="build")


def vectors(db: Database, user: UUID) -> int:
    with db.acting(user) as connection:
        return len(
            connection.execute(
                "select from loci.search_vector(array_fill(1, array[16])::vector::halfvec, 1000)"
            ).fetchall()
        )


def test_it_is_made_when_the_load_is_over(world: tuple[Database, People, str]) -> None:
    db, people, _ = world
    assert index(db, "hash")["state"] == "not needed"
    assert db.rows("select from pg_class where relname ~ '^embeddings_.*_hnsw$'") == []
    db.execute(
        "insert into loci_private.row_queue (source_id, key, op) select 1, n::text, 'upsert' from generate_series(1, 1001) as n"
    )
    assert (index(db)["state"], index(db)["waiting"], index(db)["statement"]) == ("waiting", 1001, None)
    db.execute("truncate loci_private.row_queue")
    db.execute("update loci.settings set value = '61' where name = 'index_threshold'")
    assert index(db)["state"] == "not needed"
    db.execute("update loci.settings set value = '60' where name = 'index_threshold'")
    assert index(db)["state"] == "due"
    assert vectors(db, people.ada) == COUNT
    with db.connect() as connection:
        run_statement(connection, db, "tiny")
    assert (index(db)["state"], index(db)["statement"]) == ("ready", None)
    db.execute("update loci.settings set value = '0' where name = 'exact_scan_limit'")
    assert vectors(db, people.ada) == COUNT
    # More than there is may come: the index stays, and takes it.
    db.execute(
        "insert into loci_private.row_queue (source_id, key, op) select 1, n::text, 'upsert' from generate_series(1, 5000) as n"
    )
    assert index(db)["state"] == "ready"


def test_nobody_waits_for_a_build(world: tuple[Database, People, str]) -> None:
    """Applications delete and move rows, drains add vectors, searches find them, all while the build waits for a writer."""
    db, people, table = world
    document = db.document(people.acme, "a text that will go")
    moved = db.document(people.acme, "a text that will move")
    db.drain()
    monitor = db.login_role("monitor", "loci_monitor")
    with db.connect() as writer:
        writer.execute("begin")
        writer.execute(
            f"update {table} set source_id = source_id where chunk_id = (select min(chunk_id) from {table})".encode()
        )
        with building(db, table) as build:
            wait_for_lock(db, build)
            with db.connect(monitor) as connection:
                seen = connection.execute("select * from loci.model_indexes where model = 'tiny'").fetchone()
            assert seen is not None
            assert (seen["state"], seen["statement"]) == ("building", None)
            assert "waiting" in seen["phase"]
            with db.connect() as application:
                application.execute("set lock_timeout = '5s'")
                application.execute("delete from loci.documents where document_id = %s", (document,))
                application.execute(
                    "update loci.documents set scope_id = %s where document_id = %s", (people.ada, moved)
                )
                application.execute(
                    "insert into loci.documents (scope_id, content) values (%s, 'a new one')", (people.acme,)
                )
            db.drain()
            assert db.waiting() == 0
            assert vectors(db, people.ada) == COUNT + 2
            assert vectors(db, people.bob) == COUNT + 1
            assert build.running
            writer.execute("commit")
            build.finish()
    assert index(db)["state"] == "ready"
    db.execute("update loci.settings set value = '0' where name = 'exact_scan_limit'")
    assert vectors(db, people.ada) == COUNT + 2
    assert vectors(db, people.bob) == COUNT + 1


def test_what_an_interrupted_build_left_is_dropped_and_made_again(world: tuple[Database, People, str]) -> None:
    db, people, table = world
    with db.connect() as writer:
        writer.execute("begin")
        writer.execute(f"update {table} set source_id = source_id".encode())
        with building(db, table) as build:
            wait_for_lock(db, build)
            db.execute("select pg_terminate_backend(%s)", build.pid)
            build.wait()
        writer.execute("rollback")
    assert index(db)["state"] == "invalid"
    assert index(db)["statement"].startswith("DROP INDEX CONCURRENTLY")
    assert vectors(db, people.ada) == COUNT
    with db.connect() as connection:
        run_statement(connection, db, "tiny")
        assert index(db)["state"] == "due"
        run_statement(connection, db, "tiny")
    assert index(db)["state"] == "ready"


def test_without_pg_cron_nothing_is_scheduled(world: tuple[Database, People, str]) -> None:
    db, _, _ = world
    assert db.value("select loci_private.job_indexes()") == 0
    assert index(db)["state"] == "due"


@pytest.mark.slow
def test_pg_cron_builds_what_is_due(cron_db: Database) -> None:
    db = cron_db
    number = db.value("select loci.add_embedding_model('indexed', provider => 'hash', dimensions => 16)")
    table, job = f"loci_private.embeddings_{number}", f"loci index {number}"
    scheduled = "select command from cron.job where jobname = %s"
    try:
        db.execute(
            f"insert into {table} (chunk_id, row_id, source_id, chunking_id, scope_id, embedding, created_at) "
            "select -n, -n, 1, 1, gen_random_uuid(), array_fill(n, array[16])::vector::halfvec, now() from generate_series(1, 30) as n"
        )
        db.execute("update loci.settings set value = '30' where name = 'index_threshold'")
        assert db.value("select loci_private.job_indexes()") >= 1
        assert db.value(scheduled, job).startswith("CREATE INDEX CONCURRENTLY")
        wait_until(lambda: index(db, "indexed")["state"] == "ready", "pg_cron built the index", timeout=100)
        db.execute("select loci_private.job_indexes()")
        assert db.rows(scheduled, job) == []
        # An index that a crash left half made.
        db.execute("update pg_index set indisvalid = false where indexrelid = %s::regclass", f"{table}_hnsw")
        db.execute("select loci_private.job_indexes()")
        assert db.value(scheduled, job).startswith("DROP INDEX CONCURRENTLY")
        # What failed once is tried without shared memory.
        assert db.value("select reloptions from pg_class where oid = %s::regclass", table) == ["parallel_workers=0"]
    finally:
        db.execute("update loci.settings set value = null where name = 'index_threshold'")
        db.execute("select cron.unschedule(jobid) from cron.job where jobname = %s", job)
        db.execute("select loci.drop_embedding_model('indexed')")


def test_jobs_of_dropped_models_end(cron_db: Database) -> None:
    cron_db.execute("select cron.schedule('loci index 999999', '0 0 1 1 *', 'select 1')")
    cron_db.execute("select loci_private.job_indexes()")
    assert cron_db.rows("select from cron.job where jobname = 'loci index 999999'") == []
