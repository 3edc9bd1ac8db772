"""Drains beside each other and beside applications: nothing twice, nobody waits, nothing is seen that must not be."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database, People, embeddings_table
from tests.pipeline.background import background, leased, wait_for_lock
from tests.pipeline.rows import chunks, consistent, failures, indexed_keys, texts

_FUTURE = itertools.count(2100)


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    """And a gate: sessions called 'gated' wait at it while lock 42 is held."""
    db.execute(
        """
        create schema gates;
        create function gates.wait() returns trigger language plpgsql set lock_timeout = 0 as $$
        begin
            if current_setting('application_name') = 'gated' then
                perform pg_advisory_lock_shared(42);
                perform pg_advisory_unlock_shared(42);
            end if;
            return new;
        end $$;
        grant usage on schema gates to public;
        """
    )
    return db.people()


@pytest.fixture(autouse=True)
def clean(db: Database) -> Iterator[None]:
    yield
    db.execute("update loci.settings set value = null")
    for row in db.rows(
        "select tgname, tgrelid::regclass::text as name from pg_trigger where tgfoid = 'gates.wait()'::regprocedure"
    ):
        db.execute(f"drop trigger {row['tgname']} on {row['name']}")
    for row in db.rows("select relation::oid as oid from loci.sources where name <> 'documents'"):
        db.execute(f"select loci.unwatch({row['oid']}::regclass)")
    db.execute("drop schema if exists app cascade; delete from loci.documents")
    settle(db)
    db.set_clock(None)
    consistent(db)


def settle(db: Database) -> None:
    """Drain until nothing is left, also what was put off."""
    for _ in range(3):
        db.set_clock(f"{next(_FUTURE)}-01-01")
        db.drain()


@pytest.fixture
def notes(db: Database, people: People) -> str:
    db.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
    db.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
    return "app.notes"


@pytest.fixture(scope="module")
def seeker(db: Database) -> Iterator[Connection]:
    """A session that searches; one for all tests, because the first search of a session takes a while."""
    with db.connect(db.app_role()) as connection:
        yield connection


def seen(seeker: Connection, user: UUID) -> set[str]:
    """Texts of the notes that a user finds."""
    with seeker.transaction():
        seeker.execute("select loci.act_as(%s)", (user,))
        rows = seeker.execute("select content from loci.search('text', k => 100, sources => '{notes}')").fetchall()
    return {row["content"] for row in rows}


def gate_at(db: Database, stage: str) -> None:
    """Let gated drains wait in the middle of a stage, their transaction open."""
    table, event = {
        "claim rows": ("loci_private.row_queue", "update"),
        "write chunks": ("loci_private.chunks", "insert"),
        "claim chunks": ("loci_private.embed_queue", "update"),
        "write vectors": (embeddings_table(db), "insert"),
    }[stage]
    db.execute(f"create trigger gate after {event} on {table} for each row execute function gates.wait()")


STAGES = ["claim rows", "write chunks", "claim chunks", "write vectors"]


# --- drains beside each other -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("drains", [2, 3])
def test_drains_share_the_work(db: Database, people: People, notes: str, drains: int) -> None:
    db.execute("update loci.settings set value = '10' where name = 'split_batch'")
    db.execute("update loci.embedding_models set max_batch = 8 where name = 'hash'")
    table = embeddings_table(db)
    db.execute(
        f"""
        create table app.made (what text, chunk_id bigint, by int);
        create function app.note_it() returns trigger language plpgsql as $$
        begin insert into app.made values (tg_argv[0], new.chunk_id, pg_backend_pid()); return new; end $$;
        grant usage on schema app to public; grant insert on app.made to public;
        create trigger made_chunk before insert on loci_private.chunks for each row execute function app.note_it('chunk');
        create trigger made_vector before insert on {table} for each row execute function app.note_it('vector');
        """
    )
    gate_at(db, "write chunks")
    db.execute(f"insert into {notes} select n, 'note number ' || n, %s from generate_series(1, 400) as n", people.acme)
    try:
        with db.connect() as gate, ExitStack() as stack:
            gate.execute("select pg_advisory_lock(42)")
            running = [stack.enter_context(background(db, application="gated")) for _ in range(drains)]
            for drain in running:
                wait_for_lock(db, drain, "each drain holds rows of its own")
            assert leased(db, "row_queue") == 10 * drains
            gate.execute("select pg_advisory_unlock(42)")
            for drain in running:
                drain.finish()
            pids = {drain.pid for drain in running}
    finally:
        db.execute(f"drop trigger made_chunk on loci_private.chunks; drop trigger made_vector on {table}")
        db.execute("update loci.embedding_models set max_batch = 100 where name = 'hash'")
    made = db.rows("select what, count(*) as made, count(distinct chunk_id) as different from app.made group by what")
    assert {row["what"]: (row["made"], row["different"]) for row in made} == {"chunk": (400, 400), "vector": (400, 400)}
    assert {row["by"] for row in db.rows("select distinct by from app.made where what = 'chunk'")} == pids
    assert len(indexed_keys(db, "notes")) == 400
    consistent(db)


def test_what_a_lock_kept_from_being_finished_is_finished_by_the_same_drain(
    db: Database, people: People, notes: str
) -> None:
    db.execute("update loci.embedding_models set max_batch = 1 where name = 'hash'")
    gate_at(db, "write vectors")
    db.execute(f"insert into {notes} values (1, 'one', %s), (2, 'two', %s)", people.acme, people.acme)
    try:
        with db.connect() as gate, db.connect() as other:
            gate.execute("select pg_advisory_lock(42)")
            with background(db, application="gated") as drain:
                wait_for_lock(db, drain, "the first vector is being written")
                # The next in line: it holds up the second.
                with background(db, "select pg_advisory_lock(42)") as second_gate:
                    wait_for_lock(db, second_gate)
                    other.execute("begin")
                    other.execute("select from loci_private.embed_queue where lease is not null for update")
                    gate.execute("select pg_advisory_unlock(42)")
                    second_gate.finish()
                    wait_for_lock(db, drain, "the second vector is being written")
                    other.execute("commit")
                drain.finish()
    finally:
        db.execute("update loci.embedding_models set max_batch = 100 where name = 'hash'")
    consistent(db)


def test_a_drain_that_comes_later_leaves_claimed_work_alone(db: Database, people: People, notes: str) -> None:
    gate_at(db, "write chunks")
    db.execute(f"insert into {notes} values (1, 'held', %s)", people.acme)
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as first:
            wait_for_lock(db, first)
            db.drain()
            assert chunks(db, 1, "notes") == []
            db.execute(f"insert into {notes} values (2, 'free', %s)", people.acme)
            db.drain()
            assert indexed_keys(db, "notes") == {"2"}
            gate.execute("select pg_advisory_unlock(42)")
            first.finish()
    assert indexed_keys(db, "notes") == {"1", "2"}


@pytest.mark.parametrize("stage", ["write chunks", "write vectors"])
def test_the_same_row_in_two_drains(db: Database, people: People, notes: str, stage: str) -> None:
    """The row changes while a drain writes it; another drain takes the change and is not held up by the first."""
    db.execute(f"insert into {notes} values (1, 'first', %s), (2, 'second', %s)", people.acme, people.acme)
    db.drain()
    gate_at(db, stage)
    db.execute(f"update {notes} set body = body || ' again' where id = 1")
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, application="gated") as first:
            wait_for_lock(db, first)
            db.execute(f"update {notes} set body = 'newest of ' || id")
            with background(db, "call loci.drain(20)") as second:
                second.finish(60)
            assert texts(db, 2, "notes") == ["newest of 2"]
            gate.execute("select pg_advisory_unlock(42)")
            first.finish()
    settle(db)
    assert texts(db, 1, "notes") == ["newest of 1"]
    assert failures(db) == []
    consistent(db)


# --- applications beside drains ---------------------------------------------------------------------------------------


ACTIONS = {
    "update": "update app.notes set body = 'rewritten text' where id = 1",
    "delete": "delete from app.notes where id = 1",
    "move": "update app.notes set place = '{umbrella}' where id = 1",
    "move and rewrite": "update app.notes set body = 'rewritten text', place = '{umbrella}' where id = 1",
    "rename": "update app.notes set id = 3 where id = 1",
    "replace": "delete from app.notes where id = 1; insert into app.notes values (1, 'rewritten text', '{umbrella}')",
}


def check_outcome(seeker: Connection, people: People, action: str, *, settled: bool) -> None:
    """What each of them may find. Before the drain is through, no more than this; after it, exactly this."""
    ada, eve = set(), set()
    text = "rewritten text" if action in ("update", "move and rewrite", "replace") else "plain text changed"
    if action in ("update", "rename", "nothing"):
        ada.add(text)
    elif action != "delete":
        eve.add(text)
    seen_by_ada, seen_by_eve = seen(seeker, people.ada), seen(seeker, people.eve)
    if settled:
        assert (seen_by_ada, seen_by_eve) == (ada, eve)
    else:
        # The text of before may be served in the place where it was, while the row is there.
        allowed = {"plain text", "plain text changed"} if ada else set()
        assert seen_by_ada <= ada | allowed
        assert seen_by_eve <= eve | ({"plain text"} if action == "move" else set())


def changed_note(db: Database, people: People, notes: str) -> None:
    """A row that is indexed and has work waiting."""
    db.execute(f"insert into {notes} values (1, 'plain text', %s)", people.acme)
    db.drain()
    db.execute(f"update {notes} set body = 'plain text changed'")


@pytest.mark.parametrize("first", ["application", "drain"])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_an_application_never_waits_for_a_drain(
    db: Database, people: People, seeker: Connection, notes: str, stage: str, action: str, first: str
) -> None:
    """The drain's transaction is open in the middle of a stage; the application does its work; either ends first."""
    changed_note(db, people, notes)
    gate_at(db, stage)
    statement = ACTIONS[action].format(umbrella=people.umbrella)
    with db.connect() as gate, db.connect() as app:
        gate.execute("select pg_advisory_lock(42)")
        app.execute("set lock_timeout = '100ms'")
        warnings: list[str | None] = []
        app.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
        with background(db, application="gated") as drain:
            wait_for_lock(db, drain, f"the drain is in the middle of: {stage}")
            app.execute("begin")
            app.execute(statement)
            if first == "application":
                app.execute("commit")
                check_outcome(seeker, people, action, settled=False)
                gate.execute("select pg_advisory_unlock(42)")
                drain.finish()
            else:
                gate.execute("select pg_advisory_unlock(42)")
                # It goes on as far as it can without the row that the application holds.
                drain.finish(60)
                app.execute("commit")
        assert warnings == []
    check_outcome(seeker, people, action, settled=False)
    settle(db)
    check_outcome(seeker, people, action, settled=True)
    assert failures(db) == []
    consistent(db)


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_drain_never_waits_long_for_an_application(
    db: Database, people: People, seeker: Connection, notes: str, action: str, end: str
) -> None:
    changed_note(db, people, notes)
    with db.connect() as app:
        app.execute("begin")
        app.execute(ACTIONS[action].format(umbrella=people.umbrella))
        other = db.document(people.acme, "not concerned")
        with background(db, "call loci.drain(60)") as drain:
            drain.finish(30)
        assert texts(db, other) == ["not concerned"]
        assert leased(db, "row_queue") == leased(db, "embed_queue") == 0
        app.execute(end)
    action = action if end == "commit" else "nothing"
    check_outcome(seeker, people, action, settled=False)
    settle(db)
    check_outcome(seeker, people, action, settled=True)
    assert failures(db) == []
    consistent(db)


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_inserts_never_fail(db: Database, people: People, notes: str, level: str) -> None:
    """At any isolation level, while others insert and drains work."""
    errors: list[Exception] = []

    def insert(session: int) -> None:
        try:
            with db.connect() as app:
                app.execute(f"set default_transaction_isolation = '{level}'")
                for n in range(30):
                    with app.transaction():
                        app.execute(
                            f"insert into {notes} values (%s, %s, %s)", (session * 1000 + n, f"row {n}", people.acme)
                        )
                        # Serializable updates of one small table get in each other's way with or without Loci.
                        if level == "serializable":
                            continue
                        app.execute(f"update {notes} set body = body || '!' where id = %s", (session * 1000 + n,))
                        if n % 3 == 0:
                            app.execute(f"delete from {notes} where id = %s", (session * 1000 + n,))
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=insert, args=(session,)) for session in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        db.drain()
    assert errors == []
    db.drain()
    assert len(indexed_keys(db, "notes")) == 4 * (30 if level == "serializable" else 20)
    consistent(db)


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
@pytest.mark.parametrize("action", ["move", "delete"])
def test_a_move_under_snapshot_isolation_hides_the_row(
    db: Database, people: People, seeker: Connection, notes: str, action: str, level: psycopg.IsolationLevel
) -> None:
    db.execute(f"insert into {notes} values (1, 'plain text changed', %s)", people.acme)
    db.drain()
    with db.connect() as app:
        app.isolation_level = level
        with app.transaction():
            app.execute("select 1 from loci.settings")
            # A drain changes what this snapshot knows of the row.
            with db.connect() as other:
                other.execute("update loci_private.source_rows set updated_at = updated_at where key = '1'")
            app.execute(ACTIONS[action].format(umbrella=people.umbrella))
            app.execute("select loci.act_as(%s)", (people.ada,))
            assert app.execute("select from loci.search('text', sources => '{notes}')").fetchall() == []
    assert seen(seeker, people.ada) == set()
    db.drain()
    check_outcome(seeker, people, action, settled=True)


# --- administrators' locks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["insert", "delete", "update"])
def test_a_locked_queue_delays_nobody_for_long(
    db: Database, people: People, seeker: Connection, notes: str, action: str
) -> None:
    """A migration holds Loci's queue: the application goes on, with a warning, and what was missed is found later."""
    db.execute(f"insert into {notes} values (1, 'plain text', %s)", people.acme)
    db.drain()
    statement = {
        "insert": f"insert into {notes} values (2, 'more plain text', '{people.acme}')",
        "delete": f"delete from {notes}",
        "update": f"update {notes} set body = 'rewritten text'",
    }[action]
    with db.connect() as admin, db.connect() as app:
        warnings: list[str | None] = []
        app.add_notice_handler(lambda notice: warnings.append(f"{notice.severity} {notice.message_hint}"))
        admin.execute("begin; lock table loci_private.row_queue in access exclusive mode")
        started = time.monotonic()
        app.execute(statement)
        assert time.monotonic() - started < 10
        assert len(warnings) == 1
        assert "reconcile" in str(warnings[0])
        admin.execute("rollback")
    assert db.waiting() == 0
    assert db.value("select loci.reconcile(deep => %s)", action == "update") == 1
    db.drain()
    assert (
        seen(seeker, people.ada)
        == {"insert": {"plain text", "more plain text"}, "delete": set(), "update": {"rewritten text"}}[action]
    )
    consistent(db)


def test_a_table_of_vectors_that_is_locked_hides_what_moved(
    db: Database, people: People, seeker: Connection, notes: str
) -> None:
    """The move cannot reach the vectors in time: the row's table stays hidden until it has been compared."""
    db.execute(f"insert into {notes} values (1, 'plain text changed', %s)", people.acme)
    db.drain()
    with db.connect() as admin, db.connect() as app:
        admin.execute(f"begin; lock table {embeddings_table(db)} in share mode")
        app.execute(ACTIONS["move"].format(umbrella=people.umbrella))
        admin.execute("rollback")
    assert seen(seeker, people.ada) == set()
    db.drain()
    check_outcome(seeker, people, "move", settled=True)


# --- everything at once -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_everything_at_once(db: Database, people: People, notes: str) -> None:
    """Writers, movers and deleters with three drains: at the end every row is where and what it is, once."""
    places: list[UUID] = [people.acme, people.umbrella, people.ada]
    db.execute("update loci.settings set value = '7' where name = 'split_batch'")
    errors: list[Exception] = []
    warnings: list[str | None] = []

    def write(session: int) -> None:
        chance = random.Random(session)
        levels = ["read committed", "read committed", "repeatable read", "serializable"]
        try:
            with db.connect() as app:
                app.execute("set lock_timeout = '1s'")
                app.execute(f"set default_transaction_isolation = '{levels[session]}'")
                app.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
                for n in range(150):
                    with app.transaction(force_rollback=chance.random() < 0.1):
                        for _ in range(chance.choice([1, 1, 1, 4])):
                            act(app, chance, session, n)
        except psycopg.Error as error:
            errors.append(error)

    def act(app: Connection, chance: random.Random, session: int, n: int) -> None:
        key = chance.randrange(25) * 4 + session
        body = " ".join(f"word{chance.randrange(50)}" for _ in range(chance.choice([3, 30, 900])))
        place = chance.choice(places)
        match chance.randrange(6):
            case 0 | 1:
                app.execute(
                    f"insert into {notes} values (%s, %s, %s) on conflict (id) do update"
                    " set body = excluded.body, place = excluded.place",
                    (key, body, place),
                )
            case 2:
                app.execute(f"update {notes} set body = %s where id = %s", (f"{body} {n}", key))
            case 3:
                app.execute(f"update {notes} set place = %s where id = %s", (place, key))
            case 4:
                app.execute(f"delete from {notes} where id = %s", (key,))
            case 5:
                app.execute(f"update {notes} set place = %s where id %% 4 = %s and id < %s", (place, session, key))

    writers = [threading.Thread(target=write, args=(session,)) for session in range(4)]
    for writer in writers:
        writer.start()
    with db.connect() as first, db.connect() as second, db.connect() as third:

        def keep_draining(connection: Connection) -> None:
            try:
                while any(writer.is_alive() for writer in writers):
                    connection.execute("call loci.drain(5)")
            except psycopg.Error as error:
                errors.append(error)

        drainers = [threading.Thread(target=keep_draining, args=(c,)) for c in (first, second, third)]
        for drainer in drainers:
            drainer.start()
        for thread in writers + drainers:
            thread.join(100)
            assert not thread.is_alive()
    assert errors == []
    assert warnings == []
    settle(db)
    assert failures(db) == []
    consistent(db)
    # What is indexed is the table, row by row.
    difference = db.rows(
        f"""
        select n.id, r.key, n.place, r.scope_id
        from {notes} as n
        full join (
            select r.* from loci_private.source_rows as r join loci_private.sources as s on s.source_id = r.source_id
            where s.name = 'notes'
        ) as r on r.key = n.id::text
        where n.place is distinct from r.scope_id
            or strpos(n.body, (
                select c.content from loci_private.chunks as c where c.row_id = r.row_id and c.ordinal = 0
            )) is distinct from 1
        """
    )
    assert difference == []
    assert db.value("select loci.reconcile(deep => true)") == 0
