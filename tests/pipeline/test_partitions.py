"""Partitions come and go: each is followed from the statement that makes it, and none of those statements suffers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.database import Connection, Database, People
from tests.pipeline.background import background, wait_for_lock
from tests.pipeline.rows import chunks, consistent, failures, indexed_keys, texts

COLUMNS = "id int, region text, body text, place uuid, primary key (region, id)"


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


@pytest.fixture
def owner(db: Database, people: People) -> Iterator[Connection]:
    """A session of the tables' owner, who has no rights in Loci; app.parts is watched, with partition app.parts_n."""
    role = db.login_role("owner")
    db.execute(f'create schema app authorization "{role}"')
    with db.connect(role) as connection:
        warnings: list[str | None] = []
        connection.add_notice_handler(lambda n: warnings.append(n.message_primary) if n.severity == "WARNING" else None)
        connection.execute("set lock_timeout = '5s'")
        connection.execute(f"create table app.parts ({COLUMNS}) partition by list (region)".encode())
        connection.execute("create table app.parts_n partition of app.parts for values in ('n')")
        db.execute("select loci.watch('app.parts', content => 'body', scope => 'place', name => 'parts')")
        yield connection
        connection.rollback()
    if db.rows("select from loci.sources where name = 'parts'"):
        oid = db.value("select relation::oid from loci.sources where name = 'parts'")
        db.execute(f"select loci.unwatch({oid}::regclass)")
    db.execute("drop schema if exists app cascade")
    db.drain()
    assert db.value("select count(*) from loci_private.source_tables") == db.value(
        "select count(*) from loci_private.sources"
    )
    consistent(db)
    assert warnings == []


def found(db: Database, people: People) -> set[str]:
    return db.found(people.ada, "text", sources=["parts"])


def triggers(db: Database, table: str) -> int:
    return int(db.value("select count(*) from pg_trigger where tgrelid = to_regclass(%s) and tgname ~ '^loci_'", table))


def put(owner: Connection, people: People, table: str, key: int, region: str, body: str) -> None:
    owner.execute(f"insert into {table} values (%s, %s, %s, %s)".encode(), (key, region, body, people.acme))


def test_a_new_partition_is_followed_at_once(db: Database, people: People, owner: Connection) -> None:
    owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
    put(owner, people, "app.parts_s", 1, "s", "text behind the parent's back")
    assert db.waiting() == 1
    db.drain()
    assert found(db, people) == {"text behind the parent's back"}
    owner.execute("delete from app.parts_s")
    assert found(db, people) == set()
    # Nothing is left for others to find.
    assert db.value("select loci.reconcile()") == 0


def test_partitions_of_partitions(db: Database, people: People, owner: Connection) -> None:
    owner.execute("create table app.parts_s partition of app.parts for values in ('s') partition by range (id)")
    owner.execute("create table app.parts_s1 partition of app.parts_s for values from (0) to (10)")
    put(owner, people, "app.parts_s1", 1, "s", "deep text")
    put(owner, people, "app.parts_s", 2, "s", "less deep text")
    db.drain()
    assert found(db, people) == {"deep text", "less deep text"}
    assert [triggers(db, t) for t in ("app.parts", "app.parts_n", "app.parts_s", "app.parts_s1")] == [4, 4, 4, 4]


def test_an_attached_table_brings_its_rows(db: Database, people: People, owner: Connection) -> None:
    owner.execute(f"create table app.loose ({COLUMNS}) partition by range (id)".encode())
    owner.execute("create table app.loose_1 partition of app.loose for values from (0) to (10)")
    put(owner, people, "app.loose", 1, "s", "text from before")
    assert db.waiting() == 0
    owner.execute("alter table app.parts attach partition app.loose for values in ('s')")
    # What is there already is seen meanwhile.
    put(owner, people, "app.loose_1", 2, "s", "text from after")
    db.drain()
    assert found(db, people) == {"text from before", "text from after"}
    assert triggers(db, "app.loose_1") == 4


@pytest.mark.parametrize("how", ["", " concurrently"])
def test_a_detached_partition_takes_its_rows_along(db: Database, people: People, owner: Connection, how: str) -> None:
    owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
    put(owner, people, "app.parts", 1, "n", "text that stays")
    put(owner, people, "app.parts", 2, "s", "text that goes")
    db.drain()
    before = chunks(db, '["n", 1]', "parts")
    owner.execute(f"alter table app.parts detach partition app.parts_s{how}".encode())
    assert "text that goes" not in found(db, people)
    assert triggers(db, "app.parts_s") == 0
    db.drain()
    assert found(db, people) == {"text that stays"}
    assert indexed_keys(db, "parts") == {'["n", 1]'}
    # Nothing was embedded again.
    assert chunks(db, '["n", 1]', "parts") == before
    owner.execute("update app.parts_s set body = 'text of nobody'")
    assert db.waiting() == 0
    assert db.value("select loci.reconcile()") == 0


@pytest.mark.parametrize("drained", [True, False])
def test_what_changed_while_it_was_detached(db: Database, people: People, owner: Connection, drained: bool) -> None:
    owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
    put(owner, people, "app.parts", 1, "s", "text of old")
    put(owner, people, "app.parts", 2, "s", "text that is deleted")
    put(owner, people, "app.parts", 3, "s", "text that moves")
    db.drain()
    owner.execute("alter table app.parts detach partition app.parts_s")
    if drained:
        db.drain()
    owner.execute("update app.parts_s set body = 'text of new' where id = 1")
    owner.execute("delete from app.parts_s where id = 2")
    owner.execute("update app.parts_s set place = %s where id = 3", (people.umbrella,))
    owner.execute("alter table app.parts attach partition app.parts_s for values in ('s')")
    assert found(db, people) == set()
    db.drain()
    assert found(db, people) == {"text of new"}
    assert db.found(people.eve, "text", sources=["parts"]) == {"text that moves"}


@pytest.mark.parametrize("what", ["table app.parts_s", "table app.parts_s cascade", "schema elsewhere cascade"])
def test_a_dropped_partition(db: Database, people: People, owner: Connection, what: str) -> None:
    if what.startswith("schema"):
        db.execute(f'create schema elsewhere authorization "{owner.info.user}"')
        owner.execute("create table elsewhere.parts_s partition of app.parts for values in ('s')")
    else:
        owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
    put(owner, people, "app.parts", 1, "n", "text that stays")
    put(owner, people, "app.parts", 2, "s", "text that goes")
    db.drain()
    owner.execute(f"drop {what}".encode())
    assert "text that goes" not in found(db, people)
    db.drain()
    assert found(db, people) == {"text that stays"}


def test_a_dropped_table_is_hidden_at_once(db: Database, people: People, owner: Connection) -> None:
    put(owner, people, "app.parts", 1, "n", "text")
    db.drain()
    owner.execute("drop table app.parts")
    assert found(db, people) == set()
    db.drain()
    assert "broken" in {f["state"] for f in failures(db, source="parts")}
    db.execute("select loci.reconcile()")
    assert indexed_keys(db, "parts") == set()


def test_what_is_rolled_back_has_not_been(db: Database, people: People, owner: Connection) -> None:
    put(owner, people, "app.parts", 1, "n", "text")
    db.drain()
    before = db.rows("select * from loci_private.source_tables order by 2")
    with owner.transaction(force_rollback=True):
        owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
        put(owner, people, "app.parts_s", 2, "s", "text of a moment")
        owner.execute("alter table app.parts detach partition app.parts_n")
    assert found(db, people) == {"text"}
    assert db.rows("select * from loci_private.source_tables order by 2") == before
    assert triggers(db, "app.parts_n") == 4
    assert db.waiting() == 0


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_at_any_isolation_level(db: Database, people: People, owner: Connection, level: str) -> None:
    put(owner, people, "app.parts", 1, "n", "text that goes")
    with owner.transaction():
        owner.execute(f"set transaction isolation level {level}".encode())
        owner.execute("select count(*) from app.parts")
        db.drain()
        owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
        put(owner, people, "app.parts_s", 2, "s", "text")
        owner.execute("alter table app.parts detach partition app.parts_n")
    db.drain()
    assert found(db, people) == {"text"}


def test_it_waits_for_nobody(db: Database, people: People, owner: Connection) -> None:
    """An administrator holds Loci's tables: the statement succeeds with a warning, and reconcile() makes up for it."""
    put(owner, people, "app.parts", 1, "n", "text that goes")
    db.drain()
    said: list[tuple[str, str | None]] = []
    with db.connect(owner.info.user) as app, db.connect() as admin:
        app.add_notice_handler(lambda n: said.append((str(n.severity), n.message_hint)))
        admin.execute("begin; lock table loci_private.row_queue, loci_private.source_tables in access exclusive mode")
        with background(db, "alter table app.parts detach partition app.parts_n") as detach:
            detach.finish(20)
        app.execute("create table app.parts_s partition of app.parts for values in ('s')")
        app.execute("create table app.unrelated (x int)")
        app.execute("drop table app.unrelated")
        admin.execute("rollback")
    assert said and all(severity == "WARNING" and "reconcile" in str(hint) for severity, hint in said)
    put(owner, people, "app.parts_s", 2, "s", "text")
    db.execute("select loci.reconcile()")
    db.drain()
    assert found(db, people) == {"text"}
    assert (triggers(db, "app.parts_s"), triggers(db, "app.parts_n")) == (4, 0)


def test_a_drain_that_reads_holds_up_nobody(db: Database, people: People, owner: Connection) -> None:
    """Making a partition needs its parent for itself, for a moment; so does a drain's read, which ends soon."""
    db.execute(
        "create schema gates; create function gates.wait(text) returns text language plpgsql set lock_timeout = 0 as $$"
        "begin perform pg_advisory_xact_lock_shared(42); return $1; end $$; grant usage on schema gates to public"
    )
    db.execute("select loci.unwatch('app.parts')")
    db.execute("select loci.watch('app.parts', content => 'gates.wait(body)', scope => 'place', name => 'parts')")
    put(owner, people, "app.parts", 1, "n", "text")
    try:
        with db.connect() as gate:
            gate.execute("select pg_advisory_lock(42)")
            with background(db) as drain:
                wait_for_lock(db, drain, "the drain reads")
                # SHARE UPDATE EXCLUSIVE does not mind readers.
                owner.execute(f"create table app.loose ({COLUMNS})".encode())
                owner.execute("alter table app.parts attach partition app.loose for values in ('s')")
                gate.execute("select pg_advisory_unlock(42)")
                drain.finish()
        put(owner, people, "app.loose", 2, "s", "more text")
        db.drain()
        assert found(db, people) == {"text", "more text"}
    finally:
        db.execute("drop schema gates cascade")


def test_two_sessions_make_partitions_at_once(db: Database, people: People, owner: Connection) -> None:
    for region in "se":
        owner.execute(
            f"create table app.parts_{region} partition of app.parts for values in ('{region}') partition by range (id)".encode()
        )
    with db.connect(owner.info.user) as other, owner.transaction(), other.transaction():
        said: list[str | None] = []
        other.add_notice_handler(lambda n: said.append(n.message_primary))
        other.execute("set local lock_timeout = '5s'")
        owner.execute("create table app.parts_s1 partition of app.parts_s for values from (0) to (10)")
        other.execute("create table app.parts_e1 partition of app.parts_e for values from (0) to (10)")
    assert said == []
    assert (triggers(db, "app.parts_s1"), triggers(db, "app.parts_e1")) == (4, 4)


def test_names_alone_mean_nothing(db: Database, people: People, owner: Connection) -> None:
    """Whoever names a trigger like Loci's makes nothing happen to anybody's rows."""
    put(owner, people, "app.parts", 1, "n", "text")
    db.drain()
    stranger = db.login_role("stranger")
    db.execute(f'create schema strange authorization "{stranger}"')
    with db.connect(stranger) as connection:
        connection.execute(
            "create function strange.f() returns trigger language plpgsql as 'begin return null; end';"
            "create table strange.parts (x int) partition by list (x);"
            "create trigger loci_delete after delete on strange.parts for each statement execute function strange.f();"
            "create table strange.parts_n partition of strange.parts for values in (1);"
            "drop table strange.parts"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table strange.n partition of app.parts for values in ('x')")
    db.execute("drop schema strange cascade")
    assert db.waiting() == 0
    assert found(db, people) == {"text"}


def test_unwatching_ends_it(db: Database, people: People, owner: Connection) -> None:
    put(owner, people, "app.parts", 1, "n", "text")
    db.drain()
    db.execute("select loci.unwatch('app.parts')")
    owner.execute("create table app.parts_s partition of app.parts for values in ('s')")
    owner.execute("alter table app.parts detach partition app.parts_n")
    owner.execute("drop table app.parts_s")
    assert db.waiting() == 0
    assert triggers(db, "app.parts") + triggers(db, "app.parts_n") == 0


def test_a_partition_that_was_detached_is_a_table_of_its_own(db: Database, people: People, owner: Connection) -> None:
    put(owner, people, "app.parts", 1, "n", "text")
    db.drain()
    owner.execute("alter table app.parts detach partition app.parts_n")
    db.execute("select loci.watch('app.parts_n', content => 'body', scope => 'place', name => 'own')")
    db.drain()
    assert texts(db, '["n", 1]', "own") == ["text"]
    owner.execute("delete from app.parts_n")
    assert db.found(people.ada, "text", sources=["own", "parts"]) == set()
    db.execute("select loci.unwatch('app.parts_n')")


def test_a_partition_alone_cannot_be_watched(db: Database, people: People, owner: Connection) -> None:
    """What is written through its parent would not be seen."""
    with pytest.raises(psycopg.Error) as caught:
        db.execute("select loci.watch('app.parts_n', content => 'body', scope => 'place', name => 'own')")
    assert caught.value.sqlstate == "LC292"
    assert caught.value.diag.message_hint


def test_a_watched_table_that_becomes_a_partition(db: Database, people: People, owner: Connection) -> None:
    """Its own source is hidden and says why, until it is a table of its own again."""
    owner.execute(f"create table app.loose ({COLUMNS})".encode())
    db.execute("select loci.watch('app.loose', content => 'body', scope => 'place', name => 'loose')")
    put(owner, people, "app.loose", 1, "s", "text")
    db.drain()
    try:
        owner.execute("alter table app.parts attach partition app.loose for values in ('s')")
        assert db.found(people.ada, "text", sources=["loose"]) == set()
        db.drain()
        assert found(db, people) == {"text"}
        db.execute("select loci.reconcile()")
        (state,) = [f for f in failures(db, source="loose") if f["state"] == "broken"]
        assert "partition" in state["message"]
        owner.execute("delete from app.parts")
        assert db.found(people.ada, "text", sources=["loose", "parts"]) == set()
        put(owner, people, "app.parts", 2, "s", "other text")
        owner.execute("alter table app.parts detach partition app.loose")
        db.execute("select loci.reconcile()")
        db.drain()
        assert db.found(people.ada, "text", sources=["loose"]) == {"other text"}
        assert found(db, people) == set()
        owner.execute("delete from app.loose")
        assert db.found(people.ada, "text", sources=["loose"]) == set()
    finally:
        db.execute("select loci.unwatch('app.loose')")
