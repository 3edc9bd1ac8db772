"""The seven laws of loci.drain(), one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest

from tests.database import Database, People, embeddings_table, wait_until
from tests.pipeline.background import activity, background, leased, wait_for_lock
from tests.pipeline.rows import chunks, consistent, failures, indexed_keys, texts

# About as many words as a chunk has room for.
_WORDS = "the quick brown fox jumps over the lazy dog while seven wizards judge a box of quartz and jam "


def long_text(number: int, chunk_count: int) -> str:
    """Text of so many chunks, each different."""
    return "\n\n".join(f"Part {n} of text {number}. " + _WORDS * 19 for n in range(chunk_count))


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test leaves empty queues and a good state behind."""
    yield
    database: Database = request.getfixturevalue("slow_db" if "slow_db" in request.fixturenames else "db")
    database.execute("update loci.settings set value = null")
    database.set_clock(None)
    for row in database.rows("select relation::oid as oid from loci.sources where name <> 'documents'"):
        database.execute(f"select loci.unwatch({row['oid']}::regclass)")
    database.execute("drop schema if exists app cascade; drop schema if exists app_code cascade")
    database.execute("delete from loci.documents")
    database.execute("update loci_private.row_queue set available_at = '-infinity', lease = null")
    database.execute("update loci_private.embed_queue set available_at = '-infinity', lease = null")
    database.drain()
    consistent(database)


@pytest.fixture(scope="module")
def slow_db(new_database: Callable[..., Database]) -> Database:
    """A database with the built-in model, which takes a noticeable time for each chunk."""
    database = new_database()
    database.execute("select loci.use_embedding_model('multilingual-e5-small')")
    database.execute("update loci.embedding_models set max_batch = 4 where name = 'multilingual-e5-small'")
    database.drain()
    assert database.value("select active_model = target_model from loci_private.model_assignments")
    return database


@pytest.fixture(scope="module")
def slow_people(slow_db: Database) -> People:
    return slow_db.people()


@pytest.fixture
def notes(db: Database, people: People) -> str:
    """A watched table, empty."""
    db.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
    db.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
    return "app.notes"


@pytest.fixture
def gated_notes(db: Database, people: People) -> str:
    """A watched table whose rows are read through a gate: drains called 'gated' wait there while the test holds lock 42."""
    db.execute(
        """
        create schema app;
        create function app.gate(body text) returns text language plpgsql volatile set lock_timeout = 0 as $$
        begin
            if current_setting('application_name') = 'gated' then
                perform pg_advisory_lock_shared(42);
                perform pg_advisory_unlock_shared(42);
            end if;
            return body;
        end $$;
        create table app.notes (id int primary key, body text, place uuid);
        """
    )
    db.execute("select loci.watch('app.notes', content => 'app.gate(body)', scope => 'place', name => 'notes')")
    return "app.notes"


# --- 1. nothing is held while a model works ---------------------------------------------------------------------------


def test_no_snapshot_and_no_lock_while_a_model_works(slow_db: Database, slow_people: People) -> None:
    slow_db.document(slow_people.acme, long_text(1, 8))
    samples = []
    with background(slow_db) as drain:
        wait_until(lambda: leased(slow_db, "embed_queue"), "the model works")
        while drain.running and leased(slow_db, "embed_queue"):
            if sample := activity(slow_db, drain.pid):
                samples.append(sample)
        drain.finish()
    assert len(samples) > 50
    free = [s for s in samples if s["backend_xmin"] is None and s["backend_xid"] is None]
    assert len(free) / len(samples) > 0.8
    unlocked = [s for s in samples if s["locks"] == []]
    assert len(unlocked) / len(samples) > 0.8
    assert {s["state"] for s in samples} <= {"active", "idle"}


def test_no_snapshot_and_no_lock_while_text_is_split(db: Database, people: People) -> None:
    for number in range(3):
        db.document(people.acme, long_text(number, 800))
    samples = []
    with background(db) as drain:
        wait_until(lambda: leased(db, "row_queue"), "rows are split")
        while drain.running and leased(db, "row_queue"):
            if sample := activity(db, drain.pid):
                samples.append(sample)
        drain.finish()
    assert len(samples) > 20
    free = [s for s in samples if s["backend_xmin"] is None and s["locks"] == []]
    # Reading a text and writing its chunks need a snapshot, counting its tokens does not. How the time divides depends on
    # the machine; with a snapshot held throughout, no more than the blink of a commit could be seen without one.
    assert len(free) > 20


# --- 2. nothing lost, nothing doubled, nothing old over something new -------------------------------------------------


def test_older_text_never_overwrites_newer(db: Database, people: People, gated_notes: str) -> None:
    db.execute(f"insert into {gated_notes} values (1, 'old text', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as late:
            wait_for_lock(db, late, "the first drain is reading")
            db.execute(f"update {gated_notes} set body = 'new text'")
            db.drain()
            assert texts(db, 1, "notes") == ["new text"]
            gate.execute("select pg_advisory_unlock(42)")
            late.finish()
    assert texts(db, 1, "notes") == ["new text"]
    consistent(db)


def test_a_row_changed_while_it_is_read_stays_queued(db: Database, people: People, gated_notes: str) -> None:
    db.execute(f"insert into {gated_notes} values (1, 'old text', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as drain:
            wait_for_lock(db, drain, "the drain is reading")
            db.execute(f"update {gated_notes} set body = 'new text'")
            gate.execute("select pg_advisory_unlock(42)")
            drain.finish()
    assert texts(db, 1, "notes") == ["new text"]


def test_a_row_deleted_while_it_is_read_stays_deleted(db: Database, people: People, gated_notes: str) -> None:
    db.execute(f"insert into {gated_notes} values (1, 'doomed text', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as late:
            wait_for_lock(db, late, "the drain is reading")
            db.execute(f"delete from {gated_notes}")
            # Another drain is quicker: it finds the row gone and is done with it.
            db.drain()
            gate.execute("select pg_advisory_unlock(42)")
            late.finish()
    assert db.found(people.ada, "doomed", sources=["notes"]) == set()
    assert chunks(db, 1, "notes") == []
    consistent(db)


def test_a_table_truncated_while_it_is_read_stays_empty(db: Database, people: People, gated_notes: str) -> None:
    db.execute(f"insert into {gated_notes} values (1, 'doomed text', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as late:
            wait_for_lock(db, late, "the drain is reading")
            # TRUNCATE waits for the reader, as it does for any other.
            with background(db, f"truncate {gated_notes}") as truncate:
                wait_for_lock(db, truncate, "TRUNCATE waits for the drain's SELECT")
                gate.execute("select pg_advisory_unlock(42)")
                truncate.finish()
            late.finish()
    db.drain()
    assert db.found(people.ada, "doomed", sources=["notes"]) == set()
    assert chunks(db, 1, "notes") == []


def test_a_row_moved_while_it_is_read_is_not_seen_in_its_old_place(
    db: Database, people: People, gated_notes: str
) -> None:
    db.execute(f"insert into {gated_notes} values (1, 'moving text', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as late:
            wait_for_lock(db, late, "the drain is reading")
            db.execute(f"update {gated_notes} set place = %s", people.umbrella)
            gate.execute("select pg_advisory_unlock(42)")
            wait_until(lambda: not late.running or chunks(db, 1, "notes"), "the drain has written")
            assert db.found(people.ada, "moving", sources=["notes"]) == set()
            late.finish()
    assert db.found(people.ada, "moving", sources=["notes"]) == set()
    assert db.found(people.eve, "moving", sources=["notes"]) == {"moving text"}


def test_a_lease_that_ran_out_is_worth_nothing(db: Database, people: People, gated_notes: str) -> None:
    """The first drain hangs for longer than its lease; another takes over; the row goes meanwhile."""
    db.execute(f"insert into {gated_notes} values (1, 'taken over', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as late:
            wait_for_lock(db, late, "the drain is reading")
            db.drain()
            assert chunks(db, 1, "notes") == []
            db.set_clock("2100-01-01")
            db.drain()
            before = chunks(db, 1, "notes")
            assert [c["content"] for c in before] == ["taken over"]
            gate.execute("select pg_advisory_unlock(42)")
            late.finish()
    assert chunks(db, 1, "notes") == before


def test_a_chunk_that_goes_while_its_vector_is_made(slow_db: Database, slow_people: People) -> None:
    gone = slow_db.document(slow_people.acme, long_text(2, 1))
    moved = slow_db.document(slow_people.acme, long_text(3, 1))
    changed = slow_db.document(slow_people.acme, long_text(4, 1))
    with background(slow_db) as drain:
        wait_until(lambda: leased(slow_db, "embed_queue"), "the model works")
        with slow_db.connect() as app:
            # Nothing here waits for the drain.
            app.execute("set lock_timeout = '100ms'")
            app.execute("delete from loci.documents where document_id = %s", (gone,))
            app.execute("update loci.documents set scope_id = %s where document_id = %s", (slow_people.umbrella, moved))
            app.execute("update loci.documents set content = 'brief now' where document_id = %s", (changed,))
        assert leased(slow_db, "embed_queue") > 0
        drain.finish()
    slow_db.drain()
    assert chunks(slow_db, gone) == []
    assert texts(slow_db, changed) == ["brief now"]
    assert {c["vector_scope"] for c in chunks(slow_db, moved)} == {slow_people.umbrella}
    consistent(slow_db)


def test_a_vector_follows_a_chunk_that_another_drain_moves(db: Database, people: People) -> None:
    """The chunk is brought to another place while its first vector is written: the vector must arrive there too."""
    key = db.document(people.acme, "between two places")
    db.drain()
    (chunk,) = chunks(db, key)
    table = embeddings_table(db)
    model = int(table.rsplit("_", 1)[1])
    vector = db.value(f"select embedding::text from {table} where chunk_id = %s", chunk["chunk_id"])
    db.execute(f"delete from {table} where chunk_id = %s", chunk["chunk_id"])
    lease = "11111111-1111-1111-1111-111111111111"
    db.execute(
        "insert into loci_private.embed_queue (model_id, chunk_id, lease) values (%s, %s, %s)",
        model,
        chunk["chunk_id"],
        lease,
    )
    queue_id = db.value("select queue_id from loci_private.embed_queue")
    with db.connect() as writer:
        with writer.transaction():
            writer.execute(
                "select loci_private.store_vectors(%s, %s, %s, %s, %s)",
                (model, lease, [queue_id], [chunk["chunk_id"]], [vector]),
            )
            # Snapshot isolation: the application leaves its mark and the rest to a drain.
            with db.connect() as app:
                app.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                app.execute("update loci.documents set scope_id = %s where document_id = %s", (people.umbrella, key))
                app.commit()
            with background(db) as mover:
                wait_for_lock(db, mover, "the other drain waits until the vector is there")
                writer.execute("commit; begin")
                mover.finish()
    (chunk,) = chunks(db, key)
    assert chunk["scope_id"] == chunk["vector_scope"] == people.umbrella
    assert db.found(people.ada, "between places", mode="vector") == set()


@pytest.mark.parametrize("stage", ["split", "embed"])
def test_a_killed_worker_loses_nothing(slow_db: Database, slow_people: People, stage: str) -> None:
    if stage == "embed":
        keys = [slow_db.document(slow_people.acme, long_text(5 + n, 2)) for n in range(4)]
        queue = "embed_queue"
    else:
        keys = [slow_db.document(slow_people.acme, long_text(5, 1) * 400 + f" number {n}") for n in range(2)]
        queue = "row_queue"
    with background(slow_db) as drain:
        wait_until(lambda: leased(slow_db, queue), f"the drain is in the middle of {stage}")
        slow_db.execute("select pg_terminate_backend(%s)", drain.pid)
        drain.wait()
    assert drain.error is not None
    if stage == "split":
        slow_db.execute("update loci.documents set content = 'short ' || document_id")
    assert leased(slow_db, queue) > 0
    wait_until(lambda: activity(slow_db, drain.pid) is None, "its session has ended")
    # Nobody waits until the lease has run out.
    slow_db.drain()
    assert slow_db.waiting() == 0
    for key in keys:
        found = chunks(slow_db, key)
        assert found
        assert all(c["embedded_at"] is not None for c in found)
    consistent(slow_db)


# --- 3. a bad row stands alone ----------------------------------------------------------------------------------------


@pytest.fixture
def poisoned(db: Database, people: People) -> str:
    db.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
    db.execute(
        "select loci.watch('app.notes', content => 'case when id %% 50 = 7 then (1 / (id - id))::text else body end',"
        " scope => 'place', name => 'notes')".replace("%%", "%")
    )
    return "app.notes"


def test_a_bad_row_stands_alone(db: Database, people: People, poisoned: str) -> None:
    db.set_clock("2030-01-01 00:00:00+00")
    db.execute(f"insert into {poisoned} select n, 'note ' || n, %s from generate_series(1, 40) as n", people.acme)
    db.drain()
    # All of its neighbours are done, in the same batch.
    assert indexed_keys(db, "notes") == {str(n) for n in range(1, 41) if n != 7}
    (failure,) = failures(db, source="notes")
    assert (failure["state"], failure["stage"], failure["key"]) == ("retrying", "split", "7")
    assert (failure["code"], failure["message"]) == ("22012", "division by zero")
    assert failure["attempts"] == 1
    first = failure["next_attempt"]
    assert str(first) > "2030-01-01 00:00:00.4"

    # It is not tried again before its time.
    db.drain()
    assert failures(db, 7)[0]["attempts"] == 1
    # Each further attempt waits longer, then it is parked.
    waits = []
    for attempt in (2, 3):
        db.set_clock(f"2030-01-0{attempt} 00:00:00+00")
        db.drain()
        (failure,) = failures(db, 7)
        assert (failure["state"], failure["attempts"]) == ("retrying", attempt)
        waits.append(
            failure["next_attempt"] - failure["next_attempt"].replace(hour=0, minute=0, second=0, microsecond=0)
        )
    assert waits[1].total_seconds() > waits[0].total_seconds() * 0.99
    db.set_clock("2030-01-05 00:00:00+00")
    db.drain()
    (failure,) = failures(db, 7)
    assert (failure["state"], failure["attempts"], failure["code"]) == ("parked", 4, "22012")
    assert db.waiting() == 0
    assert db.value("select count(*) from loci.status() where component = 'failures' and not ok") == 1
    # Nobody tries it any more by himself.
    assert db.value("select loci.reconcile()") == 0

    # The cause is repaired; it is replayed.
    db.execute("update loci_private.sources set content = 'body' where name = 'notes'")
    db.execute("select loci_private.build_source_readers(source_id) from loci.sources where name = 'notes'")
    assert db.value("select loci.retry_failures('notes')") == 1
    assert failures(db) == []
    db.drain()
    assert texts(db, 7, "notes") == ["note 7"]
    assert db.value("select count(*) from loci.status() where component = 'failures' and ok") == 1


def test_a_bad_row_that_is_corrected_is_done(db: Database, people: People, notes: str) -> None:
    db.execute("select loci.unwatch('app.notes')")
    db.execute(
        "select loci.watch('app.notes', content => 'body', scope => 'place', metadata => 'body::jsonb', name => 'notes')"
    )
    db.execute(f"""insert into {notes} values (1, '{{"a": 1}}', %s), (2, 'no json', %s)""", people.acme, people.acme)
    db.drain()
    assert indexed_keys(db, "notes") == {"1"}
    assert [f["code"] for f in failures(db, 2)] == ["22P02"]
    db.execute(f"update {notes} set body = '[]' where id = 2")
    db.drain()
    assert indexed_keys(db, "notes") == {"1", "2"}
    # The failed attempt of before is part of the same work now.
    assert failures(db) == []


def test_many_bad_rows_among_many_good_ones(db: Database, people: People, poisoned: str) -> None:
    db.execute(f"insert into {poisoned} select n, 'note ' || n, %s from generate_series(1, 300) as n", people.acme)
    db.drain()
    assert len(indexed_keys(db, "notes")) == 294
    assert {f["key"] for f in failures(db, source="notes")} == {"7", "57", "107", "157", "207", "257"}


def test_a_bad_row_that_moved_stays_hidden(db: Database, people: People, notes: str) -> None:
    """The mark of a moved row is never parked: whoever may no longer see it does not, whatever goes wrong."""
    db.execute(f"insert into {notes} values (1, 'in the open', %s)", people.acme)
    db.drain()
    db.execute("update loci_private.sources set content = '(1 / (id - id))::text' where name = 'notes'")
    db.execute("select loci_private.build_source_readers(source_id) from loci.sources where name = 'notes'")
    with db.connect() as app:
        app.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        app.execute(f"update {notes} set place = '{people.umbrella}'")
        app.commit()
    for day in range(1, 9):
        db.set_clock(f"2030-01-0{day} 00:00:00+00")
        db.drain()
        assert db.found(people.ada, "open", sources=["notes"]) == set()
    (failure,) = failures(db, 1)
    assert (failure["state"], failure["attempts"]) == ("retrying", 8)


def test_a_row_that_cannot_be_stored_stands_alone(db: Database, people: People, notes: str) -> None:
    """It fails when it is written, not when it is read."""
    db.execute(
        """
        create function app.refuse() returns trigger language plpgsql as $$
        begin raise exception 'this chunk is refused' using errcode = '23514'; end $$;
        create trigger refuse before insert on loci_private.chunks
        for each row when (new.content = 'note 7') execute function app.refuse();
        """
    )
    db.execute(f"insert into {notes} select n, 'note ' || n, %s from generate_series(5, 9) as n", people.acme)
    db.drain()
    assert indexed_keys(db, "notes") == {"5", "6", "8", "9"}
    (failure,) = failures(db, source="notes")
    assert (failure["key"], failure["code"], failure["message"]) == ("7", "23514", "this chunk is refused")
    db.execute("drop trigger refuse on loci_private.chunks")
    db.set_clock("2100-01-01")
    db.drain()
    assert failures(db) == []
    assert texts(db, 7, "notes") == ["note 7"]


def test_a_vector_that_cannot_be_stored_stands_alone(db: Database, people: People) -> None:
    """The write-back of a whole batch fails because of one chunk."""
    table = embeddings_table(db)
    keys = [db.document(people.acme, f"vector number {n}") for n in range(8)]
    db.execute(
        f"""
        create schema app;
        create function app.refuse() returns trigger language plpgsql as $$
        begin
            if exists (select from loci_private.chunks as c where c.chunk_id = new.chunk_id and c.content like '%% 3') then
                raise exception 'this vector is refused' using errcode = '23514';
            end if;
            return new;
        end $$;
        create trigger refuse before insert on {table} for each row execute function app.refuse();
        """.replace("%%", "%")
    )
    db.drain()
    db.execute(f"drop trigger refuse on {table}")
    assert [chunks(db, key)[0]["embedded_at"] is not None for key in keys] == [n != 3 for n in range(8)]
    (failure,) = failures(db)
    assert (failure["stage"], failure["key"], failure["attempts"]) == ("embed", str(keys[3]), 1)
    assert (failure["code"], failure["model"]) == ("23514", "hash")
    db.set_clock("2100-01-01")
    db.drain()
    assert failures(db) == []
    assert chunks(db, keys[3])[0]["embedded_at"] is not None


# --- 4. the order of work -----------------------------------------------------------------------------------------------


def test_deletes_go_first(db: Database, people: People, notes: str) -> None:
    db.execute("update loci.settings set value = '5' where name = 'split_batch'")
    db.execute("update loci.settings set value = '0' where name = 'inline_rows'")
    db.execute(f"insert into {notes} select n, 'note ' || n, %s from generate_series(1, 3) as n", people.acme)
    db.drain()
    db.execute(f"insert into {notes} select n, 'note ' || n, %s from generate_series(11, 30) as n", people.acme)
    db.execute(f"delete from {notes} where id <= 3")
    with db.connect() as connection, connection.transaction(force_rollback=True):
        claimed = connection.execute("select key, op from loci_private.claim_rows(gen_random_uuid())").fetchall()
    assert sorted((row["op"], row["key"]) for row in claimed)[:3] == [("place", "1"), ("place", "2"), ("place", "3")]
    assert len(claimed) == 5


def test_failing_work_does_not_starve_new_work(db: Database, people: People, poisoned: str) -> None:
    db.execute("update loci.settings set value = '10' where name = 'split_batch'")
    db.execute(f"insert into {poisoned} select 50 * n + 7, 'bad', %s from generate_series(1, 60) as n", people.acme)
    db.execute(f"insert into {poisoned} select 50 * n, 'good', %s from generate_series(1, 5) as n", people.acme)
    db.drain()
    assert len(indexed_keys(db, "notes")) == 5
    # All of the failing rows are due again, and older than what is new.
    db.set_clock("2030-01-01")
    db.execute(f"insert into {poisoned} values (1, 'newest', %s)", people.acme)
    db.drain()
    assert texts(db, 1, "notes") == ["newest"]


def test_a_model_that_is_not_to_be_had_is_no_fault_of_the_text(db: Database, people: People) -> None:
    db.set_clock("2030-01-01")
    keys = [db.document(people.acme, f"waiting text {n}") for n in range(5)]
    db.execute("update loci.embedding_models set provider = 'nobody' where name = 'hash'")
    try:
        for day in range(1, 9):
            db.set_clock(f"2030-01-0{day}")
            db.drain()
    finally:
        db.execute("update loci.embedding_models set provider = 'hash' where name = 'hash'")
    # The text is there for the other arm; nothing is parked, no attempt is used up.
    assert db.value("select count(*) from loci_private.failures") == 0
    assert db.value("select max(attempts) from loci_private.embed_queue") == 0
    assert db.found(people.ada, "waiting text", mode="keyword") == {f"waiting text {n}" for n in range(5)}
    db.set_clock("2030-01-10")
    db.drain()
    assert all(chunks(db, key)[0]["embedded_at"] is not None for key in keys)


# --- 5. a cancel works ----------------------------------------------------------------------------------------------


def test_cancel_while_a_model_works(slow_db: Database, slow_people: People) -> None:
    key = slow_db.document(slow_people.acme, long_text(20, 6))
    with background(slow_db) as drain:
        wait_until(lambda: leased(slow_db, "embed_queue"), "the model works")
        slow_db.execute("select pg_cancel_backend(%s)", drain.pid)
        drain.wait()
    assert drain.error is not None
    assert drain.error.sqlstate == "57014"
    # Its work is free for others at once, and costs it nothing.
    assert leased(slow_db, "embed_queue") == leased(slow_db, "row_queue") == 0
    assert (
        slow_db.value("select count(*) from loci_private.embed_queue where available_at = '-infinity' and attempts = 0")
        > 0
    )
    assert failures(slow_db) == []
    slow_db.drain()
    assert all(c["embedded_at"] is not None for c in chunks(slow_db, key))


def test_cancel_while_text_is_split(db: Database, people: People) -> None:
    db.document(people.acme, long_text(21, 6000))
    with background(db) as drain:
        wait_until(lambda: leased(db, "row_queue"), "text is split")
        db.execute("select pg_cancel_backend(%s)", drain.pid)
        drain.wait()
    assert drain.error is not None
    assert drain.error.sqlstate == "57014"
    assert leased(db, "row_queue") == 0
    assert db.value("select count(*) from loci_private.row_queue where attempts = 0") == 1


def test_the_session_is_as_it_was(db: Database, people: People) -> None:
    """Role and settings of the caller, also after a cancelled run."""
    shown = (
        "select current_user as who, current_setting('role') as role, current_setting('lock_timeout') as lock_timeout"
    )
    role = db.login_role("dba", "loci_admin")
    with db.connect(role) as connection:
        connection.execute("set role loci_admin; set lock_timeout = '7s'")
        before = connection.execute(shown).fetchone()
        connection.execute("call loci.drain()")
        assert connection.execute(shown).fetchone() == before
        for n in range(3):
            db.document(people.acme, long_text(n, 500))
        connection.execute("set statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("call loci.drain()")
        connection.execute("set statement_timeout = 0")
        assert connection.execute(shown).fetchone() == before
    assert leased(db, "row_queue") == 0


# --- 6. the deadline --------------------------------------------------------------------------------------------------


def test_it_stops_by_its_deadline(slow_db: Database, slow_people: People) -> None:
    slow_db.document(slow_people.acme, long_text(30, 40))
    slow_db.drain(1)
    left = slow_db.value("select count(*) from loci_private.embed_queue")
    assert left > 0
    assert leased(slow_db, "embed_queue") == 0
    # However short they are, runs get somewhere.
    while left:
        before = left
        slow_db.drain(1)
        left = slow_db.value("select count(*) from loci_private.embed_queue")
        assert left < before
    slow_db.execute("delete from loci.documents")


def test_it_stops_between_the_rows_of_a_batch(db: Database, people: People) -> None:
    for n in range(40):
        db.document(people.acme, long_text(n, 400))
    db.drain(1)
    assert 0 < db.value("select count(*) from loci_private.row_queue") < 40
    assert leased(db, "row_queue") == 0
    db.execute("delete from loci.documents")


@pytest.mark.parametrize("lock", ["table", "row"])
def test_a_lock_that_is_held_for_long_holds_up_nothing_else(
    db: Database, people: People, notes: str, lock: str
) -> None:
    db.execute(f"insert into {notes} values (1, 'behind a lock', %s), (2, 'beside it', %s)", people.acme, people.acme)
    db.drain()
    db.execute(f"update {notes} set body = body || ' changed'")
    other = db.document(people.acme, "of another source")
    with db.connect() as app, app.transaction():
        if lock == "table":
            app.execute(f"lock table {notes} in access exclusive mode")
        else:
            app.execute("select from loci_private.source_rows where key = '1' for update")
        with background(db, "call loci.drain(60)") as drain:
            drain.finish(30)
        assert texts(db, other) == ["of another source"]
        if lock == "row":
            assert texts(db, 2, "notes") == ["beside it changed"]
            (waiting,) = failures(db, source="notes")
            assert (waiting["state"], waiting["code"], waiting["attempts"]) == ("retrying", "55P03", 0)
    assert texts(db, 1, "notes") == ["behind a lock"]
    assert leased(db, "row_queue") == 0
    db.set_clock(str(db.value("select (now() + interval '10 seconds')::text")))
    db.drain()
    assert texts(db, 1, "notes") == ["behind a lock changed"]
    assert failures(db) == []


# --- 7. see test_documents and test_watch for updates that change nothing -----------------------------------------------


def test_updates_that_change_nothing_cost_nothing(db: Database, people: People) -> None:
    key = db.document(people.acme, "unchanged", title="Title", metadata='{"a": 1}')
    db.drain()
    before = chunks(db, key)
    version = db.value("select version from loci_private.source_rows where key = %s", str(key))
    for assignment in ("source_uri = 'x'", "content = 'unchanged', title = 'Title'", "metadata = '{\"a\": 1}'"):
        db.execute(f"update loci.documents set {assignment} where document_id = %s", key)
        assert db.waiting() == 0
    assert chunks(db, key) == before
    assert db.value("select version from loci_private.source_rows where key = %s", str(key)) == version


# --- how it is called -------------------------------------------------------------------------------------------------


def test_it_needs_a_transaction_of_its_own(db: Database) -> None:
    with db.connect() as connection:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute("call loci.drain()")
        assert caught.value.sqlstate == "LC250"
        assert caught.value.diag.message_hint
        connection.execute("call loci.drain()")


@pytest.mark.parametrize("seconds", [0, -5])
def test_it_needs_time(db: Database, seconds: int) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.drain(seconds)
    assert caught.value.sqlstate == "LC251"


def test_applications_may_not_drain(db: Database) -> None:
    with db.connect(db.app_role()) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("call loci.drain()")
        assert caught.value.sqlstate == "42501"


def test_it_works_where_snapshots_are_the_default(db: Database, people: People) -> None:
    key = db.document(people.acme, "whatever the default")
    with db.connect() as connection:
        connection.execute("set default_transaction_isolation = 'serializable'")
        connection.execute("call loci.drain()")
        row = connection.execute("show default_transaction_isolation").fetchone()
        assert row == {"default_transaction_isolation": "serializable"}
    assert texts(db, key) == ["whatever the default"]
    assert isinstance(key, UUID)
