"""loci.watch(): any table, written to in any way, followed exactly, never harmed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from tests.database import Database, People, embeddings_table
from tests.pipeline.rows import chunks, consistent, failures, indexed_keys, texts

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


@pytest.fixture
def table(db: Database, people: People) -> Iterator[Callable[..., str]]:
    """Make a table in a schema of its own, which goes with the test; its name."""
    schema = f"app_{next(_numbers)}"
    db.execute(f"create schema {schema}")

    def make(columns: str, name: str = "notes", suffix: str = "") -> str:
        db.execute(f"create table {schema}.{name} ({columns}) {suffix}")
        return f"{schema}.{name}"

    yield make
    for row in db.rows("select relation::oid as oid from loci.sources where name <> 'documents'"):
        db.execute(f"select loci.unwatch({row['oid']}::regclass)")
    db.execute(f"drop schema {schema} cascade")
    db.drain()
    consistent(db)


def watch(db: Database, table: str, content: str = "body", scope: str = "place", **arguments: Any) -> int:
    given = "".join(f", {name} => %s" for name in arguments)
    return int(
        db.value(
            f"select loci.watch(%s::regclass, content => %s, scope => %s{given})",
            table,
            content,
            scope,
            *arguments.values(),
        )
    )


def name_of(db: Database, source: int) -> str:
    return str(db.value("select name from loci.sources where source_id = %s", source))


NOTES = "id int primary key, body text, place uuid, audience uuid[], color text"


@pytest.fixture
def notes(db: Database, people: People, table: Callable[..., str]) -> str:
    """A watched table with three rows of Acme, drained."""
    name = table(NOTES)
    db.execute(
        f"insert into {name} (id, body, place) select n, 'note number ' || n, %s from generate_series(1, 3) as n",
        people.acme,
    )
    watch(db, name, audience="audience", name="notes")
    db.drain()
    assert indexed_keys(db, "notes") == {"1", "2", "3"}
    return name


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("int", ["1", "-2", "3"]),
        ("bigint generated always as identity", ["1", "2", "3"]),
        (
            "uuid",
            ["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000B", "{0c" + "0" * 30 + "}"],
        ),
        ("text", ["plain", "", 'it\'s "quoted" \\ {braces,} ünï\n']),
        ('text collate "C"', ["a", "A", "á"]),
        ("char(8)", ["ab", "abcdefgh", "c d"]),
        ('"char"', ["a", "b", "c"]),
        ("date", ["2024-02-29", "0044-03-15 BC", "infinity"]),
        ("timestamptz", ["2024-06-01 12:00:00.123456+02", "2024-12-01 00:00+00", "-infinity"]),
        ("timestamp(0)", ["2024-06-01 12:00:00.6", "2024-12-01 00:00", "infinity"]),
        ("numeric(10, 2)", ["1.10", "-0.5", "1000000"]),
        ("float8", ["0.1", "1e-300", "NaN"]),
        ("interval", ["1 day", "24 hours 1 second", "-3 months"]),
        ("bytea", ["\\x00ff", "\\x", "\\x2227"]),
        ("boolean", ["true", "false"]),
        ("inet", ["10.0.0.1", "10.0.0.0/8", "::1"]),
        ("bit(5)", ["10101", "00000", "11111"]),
        ("jsonb", ['{"a": 1}', "[1]", '"x"']),
        ("int[]", ["{1,2}", "{}", "{NULL}"]),
    ],
)
def test_a_key_of_any_type(db: Database, people: People, table: Callable[..., str], kind: str, keys: list[str]) -> None:
    name = table(f"id {kind} primary key, body text, place uuid")
    generated = "generated" in kind
    for n, key in enumerate(keys):
        if generated:
            db.execute(f"insert into {name} (body, place) values (%s, %s)", f"row {n}", people.acme)
        else:
            db.execute(f"insert into {name} values (%s, %s, %s)", key, f"row {n}", people.acme)
    with db.connect() as connection:
        # What a key looks like must not depend on who looks.
        connection.execute("set timezone = 'Pacific/Kiritimati'; set datestyle = 'German'; set extra_float_digits = -9")
        connection.execute("set intervalstyle = 'postgres_verbose'; set bytea_output = 'escape'")
        connection.execute(
            "select loci.watch(%s::regclass, content => 'body', scope => 'place', name => 'keyed')", (name,)
        )
        db.drain()
        assert len(indexed_keys(db, "keyed")) == len(keys)
        connection.execute(f"update {name} set body = body || ' changed'")
        connection.execute(f"delete from {name} where body = 'row 1 changed'")
        found = db.found(people.ada, "row", sources=["keyed"])
        assert found == {f"row {n}" for n in range(len(keys)) if n != 1}
    db.drain()
    assert failures(db) == []
    found = db.found(people.ada, "row", sources=["keyed"])
    assert found == {f"row {n} changed" for n in range(len(keys)) if n != 1}
    assert db.value("select loci.reconcile(deep => true)") == 0
    consistent(db)


def test_enum_and_domain_keys(db: Database, people: People, table: Callable[..., str]) -> None:
    schema = table("x int").split(".")[0]
    db.execute(
        f"create type {schema}.mood as enum ('sad', 'ok'); create domain {schema}.\"Code\" as text check (value <> '')"
    )
    name = table(f'm {schema}.mood, c {schema}."Code", body text, place uuid, primary key (m, c)', "moods")
    db.execute(
        f"insert into {name} values ('sad', 'a', 'first', %s), ('ok', 'b', 'second', %s)", people.acme, people.acme
    )
    watch(db, name, name="moods")
    single = table(f'c {schema}."Code" primary key, body text, place uuid', "codes")
    watch(db, single, name="codes")
    db.execute(f"insert into {single} values ('x', 'third', %s)", people.acme)
    db.drain()
    assert db.found(people.ada, "first second third", sources=["moods", "codes"]) == {"first", "second", "third"}
    db.execute(f"delete from {name} where c = 'a'")
    assert db.found(people.ada, "first second third", sources=["moods", "codes"]) == {"second", "third"}


def test_composite_keys(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table(
        'b text, at timestamptz, "Part No" char(4), n numeric, body text, place uuid, primary key ("Part No", b, at, n)'
    )
    rows = [
        ('x","y', "2024-06-01 00:00+02", "A1", "1.50"),
        ('x","y', "2024-06-01 00:00+02", "A2", "1.5"),
        ("", "-infinity", "", "NaN"),
    ]
    for n, row in enumerate(rows):
        db.execute(f"insert into {name} values (%s, %s, %s, %s, %s, %s)", *row, f"part {n}", people.acme)
    watch(db, name, name="parts")
    db.drain()
    assert failures(db) == []
    assert db.found(people.ada, "part", sources=["parts"]) == {"part 0", "part 1", "part 2"}
    with db.connect() as connection:
        connection.execute("set timezone = 'America/New_York'")
        connection.execute(f"update {name} set body = body || '!' where n = 'NaN'")
        connection.execute(f"update {name} set \"Part No\" = 'A3' where \"Part No\" = 'A2'")
        connection.execute(f"delete from {name} where \"Part No\" = 'A1'")
    assert db.found(people.ada, "part", sources=["parts"]) == {"part 2"}
    db.drain()
    assert db.found(people.ada, "part", sources=["parts"]) == {"part 1", "part 2!"}
    consistent(db)


def test_keys_change_and_swap(db: Database, people: People, notes: str) -> None:
    db.execute(f"update {notes} set id = 4 where id = 1")
    assert db.found(people.ada, "note number", sources=["notes"]) == {"note number 2", "note number 3"}
    db.drain()
    assert texts(db, 4, "notes") == ["note number 1"]
    assert chunks(db, 1, "notes") == []
    db.execute(f"alter table {notes} drop constraint notes_pkey, add primary key (id) deferrable")
    db.execute(f"update {notes} set id = 5 - id where id in (2, 3)")
    db.drain()
    assert (texts(db, 2, "notes"), texts(db, 3, "notes")) == (["note number 3"], ["note number 2"])
    consistent(db)


def test_a_swapped_key_never_shows_text_in_the_wrong_place(db: Database, people: People, notes: str) -> None:
    """Key 1 is Ada's secret, key 2 everybody's; their keys are exchanged in one statement."""
    db.execute(f"update {notes} set body = 'the secret number', place = %s where id = 1", people.ada)
    db.drain()
    db.execute(f"alter table {notes} drop constraint notes_pkey, add primary key (id) deferrable")
    db.execute(f"update {notes} set id = 3 - id where id in (1, 2)")
    assert db.found(people.bob, "secret number", sources=["notes"]) == {"note number 3"}
    db.drain()
    assert db.found(people.bob, "secret number", sources=["notes"]) == {"note number 2", "note number 3"}
    assert "the secret number" in db.found(people.ada, "secret number", sources=["notes"])


def test_two_tables_with_the_same_keys(db: Database, people: People, table: Callable[..., str]) -> None:
    first, second = table(NOTES, "first"), table(NOTES, "second")
    for name in (first, second):
        watch(db, name, name=name)
        db.execute(f"insert into {name} (id, body, place) values (1, %s, %s)", f"of {name}", people.acme)
    db.drain()
    db.execute(f"delete from {first} where id = 1")
    assert db.found(people.ada, "of", sources=[first, second]) == {f"of {second}"}
    db.drain()
    assert texts(db, 1, second) == [f"of {second}"]
    assert texts(db, 1, first) == []


# --- shapes of tables -----------------------------------------------------------------------------------------------


def test_quoted_names_other_schema_and_owner(db: Database, people: People, table: Callable[..., str]) -> None:
    owner = db.login_role("owner", "loci_admin")
    schema = '"My ""Odd"" Schema"'
    odd = f'{schema}."Some ""Table"' + '""'
    db.execute(f'create schema {schema} authorization "{owner}"')
    try:
        with db.connect(owner) as connection:
            connection.execute(f'create table {odd} ("Id %" int primary key, "Body \'x\'" text, "select" uuid)')
            connection.execute(
                "select loci.watch(%s::regclass, content => %s, scope => %s, name => 'odd')",
                (odd, "\"Body 'x'\"", '"select"'),
            )
            connection.execute(f"insert into {odd} values (1, 'oddly named', %s)", (people.acme,))
            db.drain()
            assert db.found(people.ada, "oddly", sources=["odd"]) == {"oddly named"}
            connection.execute(f'update {odd} set "select" = %s', (people.umbrella,))
            assert db.found(people.ada, "oddly", sources=["odd"]) == set()
            assert db.found(people.eve, "oddly", sources=["odd"]) == {"oddly named"}
            # What reads the table has the rights of its owner, no more.
            readers = db.rows(
                "select pg_get_userbyid(p.proowner) as owner from pg_proc as p join loci.sources as s"
                " on p.proname ~ format('^source_%s_(read|keys|probe|place)$', s.source_id) where s.name = 'odd'",
            )
            assert readers == 4 * [{"owner": owner}]
            connection.execute("select loci.unwatch(%s::regclass)", (odd,))
    finally:
        db.execute(f"drop schema {schema} cascade")


def test_expressions_and_generated_columns(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table(
        """
        id int primary key, head text, body text, org uuid, closed boolean not null default false, tags text[],
        both_of text generated always as (head || ': ' || body) stored
        """
    )
    watch(
        db,
        name,
        content="both_of",
        scope=f"case when closed then '{people.ada}'::uuid else org end -- a comment",
        audience=f"case when 'few' = any(tags) then array['{people.bob}'::uuid] end",
        metadata="jsonb_build_object('tags', to_jsonb(tags), 'head', head)",
        context="upper(head)",
        title="head || ' (' || id || ')'",
        name="expressed",
    )
    db.execute(f"insert into {name} values (1, 'Tea', 'is green', %s)", people.acme)
    db.drain()
    (row,) = db.search(people.bob, "green tea", sources=["expressed"])
    assert (row["content"], row["title"]) == ("Tea: is green", "Tea (1)")
    assert row["metadata"] == {"tags": None, "head": "Tea"}
    assert [c["context"] for c in chunks(db, 1, "expressed")] == ["TEA"]

    db.execute(f"update {name} set closed = true")
    assert db.search(people.bob, "green tea", sources=["expressed"]) == []
    assert len(db.search(people.ada, "green tea", sources=["expressed"])) == 1
    db.execute(f"update {name} set closed = false, tags = '{{few}}'")
    # tags is in the metadata too, so this waits for the drain; hidden, not leaked.
    assert db.search(people.ada, "green tea", sources=["expressed"]) == []
    db.drain()
    assert db.search(people.ada, "green tea", sources=["expressed"]) == []
    assert len(db.search(people.bob, "green tea", sources=["expressed"])) == 1
    db.execute(f"update {name} set body = 'is black'")
    db.drain()
    assert db.found(people.bob, "tea", sources=["expressed"]) == {"Tea: is black"}
    consistent(db)


def test_constant_expressions(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table(NOTES)
    watch(db, name, content="'always the same'", scope=f"'{people.acme}'", name="constant")
    db.execute(f"insert into {name} (id) values (1), (2)")
    db.execute(f"update {name} set color = 'red'")
    assert db.waiting() == 2
    db.execute(f"update {name} set id = 3 where id = 2")
    db.drain()
    assert indexed_keys(db, "constant") == {"1", "3"}
    assert failures(db) == []


def test_expressions_over_the_whole_row_and_other_tables(
    db: Database, people: People, table: Callable[..., str]
) -> None:
    names = table("color text primary key, spoken text", "colors")
    db.execute(f"insert into {names} values ('r', 'crimson')")
    name = table(NOTES)
    watch(
        db,
        name,
        name="joined",
        content=f"body || ' ' || (select spoken from {names} as c where c.color = notes.color)",
        metadata="to_jsonb(notes) - 'color'",
    )
    db.execute(f"insert into {name} values (1, 'a chair', %s, null, 'r')", people.acme)
    db.drain()
    assert db.found(people.ada, "crimson", sources=["joined"]) == {"a chair crimson"}
    db.execute(f"update {name} set audience = '{{}}'")
    db.drain()
    assert db.search(people.ada, "crimson", sources=["joined"])[0]["metadata"]["audience"] == []
    db.execute(f"update {name} set color = null")
    assert db.waiting() == 1
    db.drain()
    assert db.found(people.ada, "chair", sources=["joined"]) == set()


def test_partitioned_table(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table("id int, year int, body text, place uuid, primary key (year, id)", suffix="partition by range (year)")
    schema = name.split(".")[0]
    db.execute(f"create table {schema}.old partition of {name} for values from (1900) to (2000)")
    # Columns in another order, and one that was dropped.
    db.execute(
        f"create table {schema}.new (gone int, place uuid, body text, year int not null, id int not null, primary key (year, id));"
        f"alter table {schema}.new drop column gone;"
        f"alter table {name} attach partition {schema}.new for values from (2000) to (2100)"
    )
    watch(db, name, name="years")

    db.execute(f"insert into {name} (id, year, body, place) values (1, 1950, 'via parent', %s)", people.acme)
    db.execute(f"insert into {schema}.new (id, year, body, place) values (2, 2020, 'direct', %s)", people.acme)
    db.drain()
    assert db.found(people.ada, "via parent direct", sources=["years"]) == {"via parent", "direct"}

    db.execute(f"update {schema}.new set body = 'direct again'")
    db.execute(f"update {name} set year = 2001 where id = 1")
    assert db.found(people.ada, "via parent", sources=["years"]) == {"direct"}
    db.drain()
    assert db.found(people.ada, "via parent direct", sources=["years"]) == {"via parent", "direct again"}
    assert indexed_keys(db, "years") == {"[2001, 1]", "[2020, 2]"}

    db.execute(f"insert into {name} (id, year, body, place) values (3, 1960, 'old one', %s)", people.acme)
    db.drain()
    db.execute(f"truncate {schema}.new")
    assert db.found(people.ada, "via parent direct", sources=["years"]) == set()
    db.drain()
    assert db.found(people.ada, "via parent direct old", sources=["years"]) == {"old one"}
    db.execute(f"delete from {schema}.old")
    assert db.found(people.ada, "old one", sources=["years"]) == set()
    db.drain()
    consistent(db)


def test_partitions_that_come_and_go(db: Database, people: People, table: Callable[..., str]) -> None:
    """Also where event triggers do not fire: statements on the parent are followed, reconcile() takes care of the rest."""
    db.execute("alter event trigger loci_partitions disable")
    name = table("id int, year int, body text, place uuid, primary key (year, id)", suffix="partition by list (year)")
    schema = name.split(".")[0]
    watch(db, name, name="lists")
    db.execute(f"create table {schema}.y1 partition of {name} for values in (1)")
    db.execute(f"insert into {name} values (1, 1, 'through the parent', %s)", people.acme)
    db.drain()
    assert indexed_keys(db, "lists") == {"[1, 1]"}
    db.execute(f"insert into {schema}.y1 values (2, 1, 'behind its back', %s)", people.acme)
    db.execute("select loci.reconcile()")
    db.drain()
    assert indexed_keys(db, "lists") == {"[1, 1]", "[1, 2]"}
    assert db.found(people.ada, "back parent", sources=["lists"]) == {"through the parent", "behind its back"}
    # Now it is followed.
    db.execute(f"delete from {schema}.y1 where id = 2")
    assert db.found(people.ada, "back parent", sources=["lists"]) == {"through the parent"}
    db.drain()
    db.execute(f"alter table {name} detach partition {schema}.y1")
    db.execute("select loci.reconcile()")
    assert db.found(people.ada, "back parent", sources=["lists"]) == set()
    db.drain()
    assert indexed_keys(db, "lists") == set()
    assert db.value("select loci.reconcile()") == 0
    db.execute("alter event trigger loci_partitions enable")


# --- ways to write --------------------------------------------------------------------------------------------------


def test_copy(db: Database, people: People, notes: str) -> None:
    with db.connect() as connection, connection.cursor() as cursor:
        with cursor.copy(f"copy {notes} (id, body, place) from stdin") as copy:
            for n in range(10, 400):
                copy.write_row((n, f"copied note {n}", people.acme))
    assert db.waiting() == 390
    db.drain()
    assert len(indexed_keys(db, "notes")) == 393


def test_on_conflict_do_update(db: Database, people: People, notes: str) -> None:
    statement = (
        f"insert into {notes} (id, body, place) values (%s, %s, %s)"
        " on conflict (id) do update set body = excluded.body, place = excluded.place"
    )
    with db.connect() as connection:
        for n, body in ((1, "upserted one"), (4, "upserted four")):
            connection.execute(statement, (n, body, people.acme))
        connection.execute(f"insert into {notes} (id) values (2) on conflict do nothing")
    assert db.waiting() == 2
    db.drain()
    assert [texts(db, n, "notes") for n in (1, 2, 4)] == [["upserted one"], ["note number 2"], ["upserted four"]]
    db.execute(statement, 4, "upserted four", people.umbrella)
    assert db.found(people.ada, "upserted four", sources=["notes"]) == {
        "upserted one",
        "note number 2",
        "note number 3",
    }
    assert db.found(people.eve, "upserted four", sources=["notes"]) == {"upserted four"}
    db.drain()
    consistent(db)


def test_merge(db: Database, people: People, notes: str) -> None:
    db.execute(
        f"""
        merge into {notes} as n
        using (values (1, 'merged one'), (2, null), (9, 'merged nine')) as v (id, body) on v.id = n.id
        when matched and v.body is null then delete
        when matched then update set body = v.body
        when not matched then insert (id, body, place) values (v.id, v.body, %s)
        """,
        people.acme,
    )
    assert "note number 2" not in db.found(people.ada, "note number", sources=["notes"])
    db.drain()
    assert [texts(db, n, "notes") for n in (1, 2, 3, 9)] == [["merged one"], [], ["note number 3"], ["merged nine"]]
    consistent(db)


def test_merge_that_changes_keys_and_places(db: Database, people: People, notes: str) -> None:
    """Several actions of one MERGE fire the triggers of each, with their own rows."""
    db.execute(
        f"""
        merge into {notes} as n
        using (values (1, 11), (2, 2), (3, null)) as v (id, new_id) on v.id = n.id
        when matched and v.new_id is null then delete
        when matched and v.new_id <> v.id then update set id = v.new_id
        when matched then update set place = %s
        """,
        people.umbrella,
    )
    assert db.found(people.ada, "note", sources=["notes"]) == set()
    assert db.found(people.eve, "note", sources=["notes"]) == {"note number 2"}
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {"note number 1"}
    assert indexed_keys(db, "notes") == {"11", "2"}
    consistent(db)


def test_an_orm(db: Database, people: People, notes: str) -> None:
    """SQLAlchemy's unit of work: batched inserts with RETURNING, updates by key, versions, savepoints, bulk statements."""
    schema, name = notes.split(".")
    db.execute(
        f"create sequence {schema}.ids start 10; alter table {notes} alter id set default nextval('{schema}.ids')"
    )
    db.execute(f"alter table {notes} add version int not null default 1")

    class Base(orm.DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = name
        __table_args__: ClassVar[dict[str, Any]] = {"schema": schema}
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        body: orm.Mapped[str]
        place: orm.Mapped[UUID]
        color: orm.Mapped[str | None]
        version: orm.Mapped[int] = orm.mapped_column()
        __mapper_args__: ClassVar[dict[str, Any]] = {"version_id_col": version}

    role = db.app_role()
    db.execute(
        f'grant usage on schema {schema} to "{role}"; grant all on {notes} to "{role}";'
        f'grant usage on sequence {schema}.ids to "{role}"'
    )
    engine = sqlalchemy.create_engine(db.dsn_as(role).replace("postgresql:", "postgresql+psycopg:"))
    try:
        with orm.Session(engine) as session:
            made = [Note(body=f"note by the ORM {n}", place=people.acme) for n in range(3)]
            session.add_all(made)
            session.commit()
            first, second, third = (note.id for note in made)
            session.get_one(Note, first).body = "note changed by the ORM"
            session.get_one(Note, second).place = people.umbrella
            session.delete(session.get_one(Note, third))
            session.get_one(Note, 1).color = "red"
            with session.begin_nested() as savepoint:
                session.add(Note(body="note never kept", place=people.acme))
                session.flush()
                savepoint.rollback()
            session.commit()
            # Found where they are and gone where they were, before any drain.
            assert db.found(people.eve, "note", sources=["notes"]) == set()
            db.drain()
            session.execute(sqlalchemy.update(Note).where(Note.id == 2).values(body="note of a bulk update"))
            session.execute(sqlalchemy.delete(Note).where(Note.id == 3))
            session.execute(
                postgresql.insert(Note)
                .values([{"id": first, "body": "note upserted", "place": people.acme, "version": 1}])
                .on_conflict_do_update(index_elements=[Note.id], set_={"body": "note upserted"})
            )
            session.commit()
    finally:
        engine.dispose()
    assert "note number 3" not in db.found(people.ada, "note", sources=["notes"])
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {
        "note number 1",
        "note of a bulk update",
        "note upserted",
    }
    assert db.found(people.eve, "note", sources=["notes"]) == {"note by the ORM 1"}
    assert failures(db) == []
    consistent(db)


def test_statements_of_one_row_and_of_many(db: Database, people: People, notes: str) -> None:
    db.execute(f"update {notes} set body = body || ' once' where id = 1")
    assert db.waiting() == 1
    db.execute(f"update {notes} set body = body || ' twice'")
    assert db.waiting() == 4
    db.execute(f"update {notes} set body = body || ' never' where id = 100")
    db.execute(f"delete from {notes} where id = 100")
    assert db.waiting() == 4
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {
        "note number 1 once twice",
        "note number 2 twice",
        "note number 3 twice",
    }


def test_changed_twice_in_one_transaction(db: Database, people: People, notes: str) -> None:
    with db.connect() as connection, connection.transaction():
        connection.execute(f"update {notes} set body = 'draft' where id = 1")
        connection.execute(f"update {notes} set body = 'final' where id = 1")
        connection.execute(f"delete from {notes} where id = 2")
        connection.execute(f"insert into {notes} (id, body, place) values (2, 'reborn', %s)", (people.acme,))
        connection.execute(f"insert into {notes} (id, body, place) values (5, 'short life', %s)", (people.acme,))
        connection.execute(f"delete from {notes} where id = 5")
    db.drain()
    assert db.found(people.ada, "note draft final reborn", sources=["notes"]) == {"final", "reborn", "note number 3"}
    consistent(db)


def test_truncate(db: Database, people: People, notes: str) -> None:
    with db.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(f"truncate {notes}")
    assert len(db.found(people.ada, "note", sources=["notes"])) == 3
    db.execute(f"truncate {notes}")
    assert db.found(people.ada, "note", sources=["notes"]) == set()
    db.execute(f"insert into {notes} (id, body, place) values (1, 'note after', %s)", people.acme)
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {"note after"}
    consistent(db)


def test_many_rows_moved_by_one_statement(db: Database, people: People, notes: str) -> None:
    """Above the setting inline_rows they are hidden at once and moved by the drain."""
    db.execute("update loci.settings set value = '2' where name = 'inline_rows'")
    try:
        db.execute(f"update {notes} set place = %s", people.umbrella)
        assert db.found(people.ada, "note", sources=["notes"]) == set()
        assert db.found(people.eve, "note", sources=["notes"]) == set()
        db.drain()
        assert len(db.found(people.eve, "note", sources=["notes"])) == 3
        db.execute(f"delete from {notes}")
        assert db.found(people.eve, "note", sources=["notes"]) == set()
        assert len(indexed_keys(db, "notes")) == 3
        db.drain()
        assert indexed_keys(db, "notes") == set()
    finally:
        db.execute("update loci.settings set value = null where name = 'inline_rows'")


def test_cascaded_deletes(db: Database, people: People, table: Callable[..., str]) -> None:
    parent, child = table("id int primary key", "parent"), table(NOTES, "child")
    db.execute(f"alter table {child} add parent int references {parent} on delete cascade")
    db.execute(f"insert into {parent} values (1), (2)")
    watch(db, child, name="children")
    db.execute(
        f"insert into {child} (id, body, place, parent) select n, 'child ' || n, %s, n from generate_series(1, 2) as n",
        people.acme,
    )
    db.drain()
    db.execute(f"delete from {parent} where id = 1")
    assert db.found(people.ada, "child", sources=["children"]) == {"child 2"}


# --- scope and audience ---------------------------------------------------------------------------------------------


def test_a_moved_row_is_found_in_its_new_place_at_once(db: Database, people: People, notes: str) -> None:
    before = {c["chunk_id"]: c["embedded_at"] for n in (1, 2, 3) for c in chunks(db, n, "notes")}
    with db.connect() as connection, connection.transaction():
        connection.execute(f"update {notes} set place = %s where id < 3", (people.umbrella,))
        connection.execute("select loci.act_as(%s)", (people.eve,))
        rows = connection.execute("select content from loci.search('note number', sources => '{notes}')").fetchall()
        assert {row["content"] for row in rows} == {"note number 1", "note number 2"}
    assert db.found(people.ada, "note", sources=["notes"]) == {"note number 3"}
    assert db.found(people.eve, "note", sources=["notes"]) == {"note number 1", "note number 2"}
    db.drain()
    assert {c["chunk_id"]: c["embedded_at"] for n in (1, 2, 3) for c in chunks(db, n, "notes")} == before
    consistent(db)


@pytest.mark.parametrize("place", [None, "00000000-0000-0000-0000-000000000000"])
def test_a_row_of_no_known_place_is_seen_by_nobody(db: Database, people: People, notes: str, place: str | None) -> None:
    db.execute(f"update {notes} set place = %s where id = 1", place)
    assert len(db.found(people.ada, "note", sources=["notes"])) == 2
    db.drain()
    assert len(db.found(people.ada, "note", sources=["notes"])) == 2
    assert chunks(db, 1, "notes") == []
    assert [f["code"] for f in failures(db, 1)] == ([] if place is None else ["LC204"])
    db.execute(f"update {notes} set place = %s where id = 1", people.acme)
    db.drain()
    assert failures(db) == []
    assert len(db.found(people.ada, "note", sources=["notes"])) == 3


def test_audience_narrows_at_once(db: Database, people: People, notes: str) -> None:
    db.execute(f"update {notes} set audience = array[%s] where id = 1", people.bob)
    assert db.found(people.ada, "note", sources=["notes"]) == {"note number 2", "note number 3"}
    assert len(db.found(people.bob, "note", sources=["notes"])) == 3
    consistent_vectors(db)
    db.drain()
    consistent(db)


def consistent_vectors(db: Database) -> None:
    assert (
        db.value(
            f"""
        select count(*) from {embeddings_table(db)} as e join loci_private.chunks as c on c.chunk_id = e.chunk_id
        where (e.scope_id, e.audience) is distinct from (c.scope_id, c.audience)
        """
        )
        == 0
    )


def test_hide_on_update(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table(NOTES)
    watch(db, name, name="hiding", on_update="hide")
    db.execute(
        f"insert into {name} (id, body, place) values (1, 'first wording', %s), (2, 'other', %s)",
        people.acme,
        people.acme,
    )
    db.drain()
    db.execute(f"update {name} set color = 'red'")
    assert db.waiting() == 0
    db.execute(f"update {name} set body = 'second wording' where id = 1")
    assert db.found(people.ada, "wording", sources=["hiding"]) == {"other"}
    db.drain()
    assert db.found(people.ada, "wording", sources=["hiding"]) == {"second wording", "other"}
    consistent(db)


def test_old_text_is_served_until_the_drain(db: Database, people: People, notes: str) -> None:
    db.execute(f"update {notes} set body = 'quite another text' where id = 1")
    assert "note number 1" in db.found(people.ada, "note", sources=["notes"])
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {"quite another text", "note number 2", "note number 3"}


# --- the table is altered -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breaking", "repair"),
    [
        ("rename body to text_of_it", "rename text_of_it to body"),
        ("drop column body", "add column body text default 'repaired'"),
        ("rename place to location", "rename location to place"),
        ("alter place type text", "alter place type uuid using place::uuid"),
        ("rename id to number", "rename number to id"),
        ("rename audience to listeners", "rename listeners to audience"),
    ],
)
def test_an_altered_table_goes_on_working(db: Database, people: People, notes: str, breaking: str, repair: str) -> None:
    key = "number" if breaking == "rename id to number" else "id"
    db.execute(f"alter table {notes} {breaking}")
    with db.connect() as connection:
        connection.execute(f"insert into {notes} ({key}, color) values (10, 'red')")
        connection.execute(f"update {notes} set color = 'blue', {key} = 11 where {key} = 10")
        connection.execute(f"delete from {notes} where {key} = 1")
        connection.execute(f"insert into {notes} ({key}, color) values (12, 'green')")
    # What can no longer be followed is hidden.
    assert "note number 1" not in db.found(people.ada, "note", sources=["notes"])
    db.drain()
    if breaking != "alter place type text":
        (state,) = failures(db, source="notes")
        assert (state["state"], state["stage"]) == ("broken", "source")
        assert "does not exist" in state["message"]
        assert state["hint"]
    other = db.document(people.acme, "other sources go on")
    db.drain()
    assert texts(db, other) == ["other sources go on"]
    db.execute("delete from loci.documents")

    db.execute(f"alter table {notes} {repair}")
    db.execute(f"update {notes} set place = %s where id > 9", people.acme)
    db.execute("select loci.reconcile()")
    db.drain()
    assert failures(db) == []
    repaired = "drop column" in breaking
    assert indexed_keys(db, "notes") == ({"2", "3", "11", "12"} if repaired else {"2", "3"})
    assert db.found(people.ada, "note", sources=["notes"]) == (
        {"repaired"} if repaired else {"note number 2", "note number 3"}
    )
    # Followed again.
    db.execute(f"update {notes} set place = %s where id = 3", people.umbrella)
    assert "note number 3" not in db.found(people.ada, "note", sources=["notes"])
    db.execute(f"delete from {notes} where id = 2")
    assert db.found(people.ada, "note number", sources=["notes"]) == ({"repaired"} if repaired else set())
    db.drain()
    consistent(db)


def test_a_renamed_table_is_followed_after_reconcile(db: Database, people: People, notes: str) -> None:
    db.execute(f"alter table {notes} rename to memos")
    renamed = notes.replace(".notes", ".memos")
    db.execute(f"insert into {renamed} (id, body, place) values (4, 'memo number 4', %s)", people.acme)
    db.drain()
    db.execute("select loci.reconcile()")
    db.drain()
    assert failures(db) == []
    assert indexed_keys(db, "notes") == {"1", "2", "3", "4"}


def test_a_dropped_table_takes_its_rows_along(db: Database, people: People, notes: str) -> None:
    db.execute(f"update {notes} set body = 'late change' where id = 1")
    db.execute(f"drop table {notes}")
    db.drain()
    db.execute("select loci.reconcile()")
    assert db.found(people.ada, "note change", sources=["notes"]) == set()
    (state,) = failures(db, source="notes")
    assert state["state"] == "broken"
    db.execute("select loci.reconcile()")
    db.drain()
    oid = db.value("select relation::oid from loci.sources where name = 'notes'")
    assert db.value(f"select loci.unwatch({oid}::regclass)") is True
    assert failures(db) == []


def test_an_irrelevant_alteration_is_harmless(db: Database, people: People, notes: str) -> None:
    db.execute(f"alter table {notes} add extra int default 7; alter table {notes} drop column color")
    db.execute(f"insert into {notes} (id, body, place) values (4, 'note number 4', %s)", people.acme)
    db.execute(f"update {notes} set extra = 8")
    assert db.waiting() == 1
    db.drain()
    assert len(db.found(people.ada, "note", sources=["notes"])) == 4
    assert failures(db) == []


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("0::regclass, content => 'body', scope => 'place'", "LC240"),
        ("'pg_class', content => 'relname', scope => 'null'", "LC241"),
        ("'loci.failures', content => 'message', scope => 'null'", "LC241"),
        ("'loci_private.chunks', content => 'content', scope => 'scope_id'", "LC241"),
        ("'{table}', content => '', scope => 'place'", "LC242"),
        ("'{table}', content => 'body', scope => null", "LC242"),
        ("'{table}', content => 'body', scope => 'place', chunk_tokens => 99", "LC202"),
        ("'{table}', content => 'body', scope => 'place', chunk_overlap => 201", "LC202"),
        ("'{table}', content => 'body', scope => 'place', on_update => 'vanish'", "LC244"),
        ("'{keyless}', content => 'body', scope => 'place'", "LC245"),
        ("'loci.documents', content => 'content', scope => 'scope_id'", "LC246"),
        ("'{table}', content => 'body', scope => 'place', name => 'documents'", "LC247"),
        ("'{table}', content => 'no_such_column', scope => 'place'", "LC248"),
        ("'{table}', content => 'body', scope => 'id'", "LC248"),
        ("'{table}', content => 'body', scope => 'place', audience => 'place'", "LC248"),
        ("'{table}', content => 'count(*)::text', scope => 'place'", "LC248"),
        ("'{table}', content => 'body); drop table {table}; --', scope => 'place'", "LC248"),
        ("'{table}', content => 'body', scope => 'place', metadata => 'id -- '", "LC248"),
        ("'{table}', content => 'body', scope => 'place', metadata => ')'", "LC248"),
    ],
)
def test_bad_arguments_are_refused(
    db: Database, people: People, table: Callable[..., str], arguments: str, code: str
) -> None:
    name, keyless = table(NOTES), table("body text, place uuid", "keyless")
    before = footprint(db)
    with pytest.raises(psycopg.Error) as caught:
        db.execute("select loci.watch(" + arguments.replace("{table}", name).replace("{keyless}", keyless) + ")")
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_hint
    assert footprint(db) == before


def test_only_the_owner_may_have_a_table_watched(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table(NOTES)
    role = db.login_role("stranger", "loci_admin")
    with db.connect(role) as connection:
        for call in (
            "select loci.watch(%s::regclass, content => 'body', scope => 'place')",
            "select loci.unwatch('loci.documents'::regclass) where %s <> ''",
        ):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(call, (name,))
            assert caught.value.sqlstate in ("LC243", "42501")
    assert db.value("select count(*) from loci.sources where watched and name = 'documents'") == 1


def test_expressions_have_the_rights_of_the_owner_only(db: Database, people: People, table: Callable[..., str]) -> None:
    owner = db.login_role("owner", "loci_admin")
    name = table(NOTES)
    schema = name.split(".")[0]
    db.execute(f'grant usage, create on schema {schema} to "{owner}"; alter table {name} owner to "{owner}"')
    with db.connect(owner) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(
                "select loci.watch(%s::regclass, content => '(select content from loci_private.chunks limit 1)', scope => 'place')",
                (name,),
            )
        assert caught.value.sqlstate == "LC248"
        assert "permission denied" in (caught.value.diag.message_detail or "")


# --- the end of watching --------------------------------------------------------------------------------------------


def footprint(db: Database) -> dict[str, Any]:
    """Everything in the catalogue and in Loci's tables that watching a table could leave behind."""
    # Words are counted again when enough has changed; here, now.
    db.execute(
        "insert into loci_private.text_changes (scope_id, chunks) select scope_id, 1000000 from loci_private.scopes"
    )
    while db.value("select loci_private.count_words()"):
        pass
    counts = {
        row["name"]: db.value(f"select count(*) from {row['name']}")
        for row in db.rows(
            "select c.oid::regclass::text as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname in ('loci', 'loci_private') and c.relkind in ('r', 'p')"
        )
    }
    # A log of what changed, for the caches.
    del counts["loci_private.changes"]
    for catalogue in ("pg_proc", "pg_trigger", "pg_depend", "pg_class", "pg_type", "pg_rewrite"):
        counts[catalogue] = db.value(f"select count(*) from {catalogue}")
    # Shared by all databases of the server, and others are at work in theirs.
    counts["pg_shdepend"] = db.value(
        "select count(*) from pg_shdepend where dbid = (select oid from pg_database where datname = current_database())"
    )
    return counts


def test_unwatch_leaves_nothing_behind(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table("id int, year int, body text, place uuid, primary key (year, id)", suffix="partition by list (year)")
    schema = name.split(".")[0]
    db.execute(f"create table {schema}.y1 partition of {name} for values in (1)")
    db.execute(f"create table {schema}.y2 partition of {name} for values in (2)")
    db.execute(f"insert into {name} select n, 1 + n %% 2, 'row ' || n, %s from generate_series(1, 5) as n", people.acme)
    db.drain()
    before = footprint(db)
    watch(db, name, name="brief")
    db.drain()
    assert len(indexed_keys(db, "brief")) == 5
    db.execute(f"update {name} set place = '00000000-0000-0000-0000-000000000000' where id = 1")
    db.drain()
    db.execute(f"insert into {name} values (9, 1, 'still waiting', %s)", people.acme)
    db.execute(f"update {name} set body = 'waiting too' where id = 2")
    assert db.value(f"select loci.unwatch('{name}')") is True
    assert footprint(db) == before
    assert db.value(f"select loci.unwatch('{name}')") is False
    # The table is an ordinary one again.
    db.execute(f"update {name} set body = 'free'")
    db.execute(f"truncate {name}")
    assert db.waiting() == 0


def test_watch_again_takes_the_index_up(db: Database, people: People, notes: str) -> None:
    before = {c["chunk_id"]: c["embedded_at"] for n in (1, 2, 3) for c in chunks(db, n, "notes")}
    db.execute(f"select loci.unwatch('{notes}', drop_index => false)")
    assert len(indexed_keys(db, "notes")) == 3
    # Nobody follows any of this.
    db.execute(f"delete from {notes} where id = 1")
    db.execute(f"update {notes} set place = %s where id = 2", people.umbrella)
    db.execute(f"insert into {notes} (id, body, place) values (4, 'note number 4', %s)", people.acme)
    assert db.waiting() == 0
    watch(db, notes, audience="audience", name="notes")
    assert db.found(people.ada, "note", sources=["notes"]) == set()
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {"note number 3", "note number 4"}
    assert db.found(people.eve, "note", sources=["notes"]) == {"note number 2"}
    after = {c["chunk_id"]: c["embedded_at"] for n in (2, 3) for c in chunks(db, n, "notes")}
    assert after.items() <= before.items()
    consistent(db)


def test_watch_without_backfill(db: Database, people: People, table: Callable[..., str]) -> None:
    name = table(NOTES)
    db.execute(f"insert into {name} (id, body, place) values (1, 'before', %s)", people.acme)
    watch(db, name, name="later", backfill=False)
    assert db.waiting() == 0
    db.execute(f"insert into {name} (id, body, place) values (2, 'after', %s)", people.acme)
    db.drain()
    assert indexed_keys(db, "later") == {"2"}
    assert db.value("select loci.reconcile()") == 1
    db.drain()
    assert indexed_keys(db, "later") == {"1", "2"}


def test_a_row_inserted_while_nobody_looked_is_found_by_reconcile(db: Database, people: People, notes: str) -> None:
    with db.connect() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(f"insert into {notes} (id, body, place) values (4, 'note number 4', %s)", (people.acme,))
        connection.execute(f"delete from {notes} where id = 1")
        connection.execute(f"update {notes} set body = 'note changed' where id = 2")
        connection.execute(f"update {notes} set place = %s where id = 3", (people.umbrella,))
    assert db.waiting() == 0
    assert db.value("select loci.reconcile()") == 2
    db.drain()
    assert db.value("select loci.reconcile(deep => true)") == 2
    assert "note number 3" not in db.found(people.ada, "note", sources=["notes"])
    db.drain()
    assert db.found(people.ada, "note", sources=["notes"]) == {"note number 4", "note changed"}
    assert db.found(people.eve, "note", sources=["notes"]) == {"note number 3"}
    assert db.value("select loci.reconcile(deep => true)") == 0
    consistent(db)


def test_reconcile_makes_missing_chunks_again(db: Database, people: People) -> None:
    long = " ".join(f"Heron number {n} stands in the water and waits for fish." for n in range(200))
    one, none, whole, empty = (db.document(people.acme, f"{name}. {text}") for name, text in (
        ("one", long), ("none", long.upper()), ("whole", long.lower()), ("", ""),
    ))  # fmt: skip
    db.drain()
    counts = (
        "select key, count(c.chunk_id) as chunks from loci_private.source_rows left join loci_private.chunks as c"
        " using (row_id) where key = any(%s) group by key"
    )
    keys = [str(key) for key in (one, none, whole, empty)]
    before = {row["key"]: row["chunks"] for row in db.rows(counts, keys)}
    assert min(before[key] for key in keys[:3]) > 2
    db.execute(
        "delete from loci_private.chunks as c using loci_private.source_rows as r where r.row_id = c.row_id and (r.key = %s"
        " or (r.key = %s and c.ordinal = (select max(o.ordinal) from loci_private.chunks as o where o.row_id = c.row_id)))",
        str(none),
        str(one),
    )
    assert db.value("select loci.reconcile()") == 2
    db.drain()
    assert {row["key"]: row["chunks"] for row in db.rows(counts, keys)} == before
    assert db.value("select loci.reconcile()") == 0
    consistent(db)
