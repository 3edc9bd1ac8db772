"""Large INSERTs: most of their rows are queued in bulk, and fare like any others."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from tests.database import Database, People
from tests.pipeline.background import background, wait_for_lock
from tests.pipeline.rows import consistent, indexed_keys, texts

ROWS = 40


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


@pytest.fixture(autouse=True)
def clean(db: Database) -> Iterator[None]:
    yield
    db.execute("delete from loci.documents")
    db.drain()
    consistent(db)


def insert(db: Database, scope: UUID, content: str, keys: list[UUID] | None = None) -> list[UUID]:
    """Documents made by one statement, in this order; their keys."""
    keys = keys or [uuid4() for _ in range(ROWS)]
    db.execute(
        "insert into loci.documents (document_id, scope_id, content) "
        "select k.key, %s, %s || k.n from unnest(%s::uuid[]) with ordinality as k (key, n) order by k.n",
        scope,
        f"{content} ",
        keys,
    )
    return keys


def queued(db: Database) -> list[str]:
    return [row["key"] for row in db.rows("select key from loci_private.row_queue order by queue_id")]


def bulk(db: Database) -> list[str]:
    return [row["key"] for row in db.rows("select unnest(keys) as key from loci_private.row_bulk order by bulk_id")]


def pending(db: Database) -> int:
    return int(db.value("select pending from loci.progress where source = 'documents'"))


def test_most_rows_of_a_large_insert_are_queued_in_bulk(db: Database, people: People) -> None:
    keys = list(map(str, insert(db, people.acme, "quail")))
    assert queued(db) == keys[:10]
    assert sorted(bulk(db)) == sorted(keys[10:])
    assert pending(db) == ROWS
    assert f"{ROWS} rows" in db.value("select detail from loci.status() where component = 'queue'")
    db.drain()
    assert indexed_keys(db, "documents") == set(keys)
    assert pending(db) == 0
    assert len(db.found(people.bob, "quail")) == ROWS
    assert db.found(people.eve, "quail") == set()


def test_a_small_insert_is_not(db: Database, people: People) -> None:
    keys = insert(db, people.acme, "wren", [uuid4() for _ in range(10)])
    assert queued(db) == [str(key) for key in keys]
    assert bulk(db) == []


def test_what_happens_to_a_row_before_it_is_unpacked_counts(db: Database, people: People) -> None:
    keys = insert(db, people.acme, "heron")
    changed, moved, gone = keys[-3:]
    db.execute("update loci.documents set content = 'an egret' where document_id = %s", changed)
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.umbrella, moved)
    db.execute("delete from loci.documents where document_id = %s", gone)
    db.drain()
    assert texts(db, changed) == ["an egret"]
    assert db.found(people.eve, "heron") == {f"heron {ROWS - 1}"}
    assert db.found(people.bob, "heron egret") == {"an egret", *(f"heron {n}" for n in range(1, ROWS - 2))}


def test_drains_unpack_side_by_side(db: Database, people: People) -> None:
    keys = insert(db, people.acme, "stork")
    last = keys[-1]
    with db.connect() as other, other.transaction():
        other.execute("select loci_private.unpack_rows(most => 1)")
        # This drain does not get those rows; a newer change of one of them comes to it directly.
        db.execute("update loci.documents set content = 'a crane' where document_id = %s", last)
        db.drain()
        assert indexed_keys(db, "documents") == {*map(str, keys[:10]), str(last)}
    assert sorted(queued(db)) == sorted(map(str, keys[10:]))
    db.drain()
    assert indexed_keys(db, "documents") == set(map(str, keys))
    assert texts(db, last) == ["a crane"]


def test_older_entries_than_what_is_stored_are_not_unpacked(db: Database, people: People) -> None:
    keys = insert(db, people.acme, "egret")
    # All that is waiting in bulk has been read by others since.
    with db.connect() as other, other.transaction():
        other.execute("select from loci_private.row_bulk for update")
        db.execute("update loci.documents set content = content || '!'")
        db.drain()
        assert indexed_keys(db, "documents") == set(map(str, keys))
    assert len(bulk(db)) == ROWS - 10
    insert(db, people.acme, "ibis")
    db.drain()
    # An entry with nothing left in it does not end the drain.
    assert {content for content in db.found(people.bob, "ibis") if content.startswith("ibis")} == {
        f"ibis {n}" for n in range(1, ROWS + 1)
    }


def replace_all(db: Database, people: People) -> None:
    """Ada's rows are truncated, and their keys come back as other rows of Acme, mostly in bulk."""
    keys = insert(db, people.ada, "doomed dodo")
    db.drain()
    db.execute("truncate loci.documents")
    insert(db, people.acme, "living dove", keys)
    assert len(bulk(db)) == ROWS - 10


_SWEEP = (
    "do $$ begin perform loci_private.sweep_source(source_id, op, queue_id, gen_random_uuid()) "
    "from loci_private.row_queue where op = 'truncate'; "
    "delete from loci_private.row_queue where op = 'truncate'; end $$"
)


def test_keys_that_came_back_in_bulk_after_truncate_hide_what_they_were(db: Database, people: People) -> None:
    replace_all(db, people)
    db.execute(_SWEEP)
    assert db.found(people.ada, "dodo dove") == set()
    db.drain()
    assert not {content for content in db.found(people.ada, "dodo dove") if "dodo" in content}
    assert len(db.found(people.bob, "dove")) == ROWS


def test_also_while_another_drain_unpacks_them(db: Database, people: People) -> None:
    replace_all(db, people)
    with db.connect() as other:
        other.execute("begin")
        other.execute("select loci_private.unpack_rows(most => 1)")
        with background(db, _SWEEP) as sweep:
            wait_for_lock(db, sweep)
            other.execute("commit")
            sweep.finish()
    assert db.found(people.ada, "dodo dove") == set()


def test_reconcile_knows_rows_in_bulk(db: Database, people: People) -> None:
    keys = insert(db, people.acme, "plover")
    assert db.value("select loci.reconcile()") == 0
    assert sorted(queued(db)) == sorted(map(str, keys))


def test_unwatch_forgets_rows_in_bulk(db: Database, people: People) -> None:
    db.execute("create table public.birds (id int primary key, body text, place uuid)")
    try:
        db.execute("select loci.watch('public.birds', content => 'body', scope => 'place')")
        db.execute("insert into public.birds select n, 'bird', %s from generate_series(1, 40) as n", people.acme)
        assert len(bulk(db)) == 30
        db.execute("select loci.unwatch('public.birds')")
        assert bulk(db) == []
    finally:
        db.execute("drop table public.birds")
