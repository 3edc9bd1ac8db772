"""Texts are values: whatever stands in an argument of a public function, it is never read as SQL."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Composed, Identifier

from tests.database import Database, People
from tests.security.world import refused, run

HOSTILE = [
    "'",
    "''",
    '"',
    "\\",
    "\\'",
    "'; create table public.owned (x int); --",
    "'); create table public.owned (x int); --",
    '"; create table public.owned (x int); --',
    "x') or true --",
    "$$; create table public.owned (x int); $$",
    "$1 $2 $3",
    "%",
    "%s %I %L %1$s %n",
    "{0} {x} %(x)s",
    "/* -- */ ;",
    "\x01\x1b\x7f\r\n\t",
    "\u200b\u202e\ufeff",
    "ﷺ" * 1000,
    "a' | 'b:*",
    "!!! & | <-> ( ) : *",
    "NULL",
    "null::text",
    "{" * 5000,
    "' ' || (select encode(key, 'hex') from loci_private.session_key) || ' '",
]

# Values of arguments that are no text.
OTHERS = {
    "integer": "7",
    "bigint": "7",
    "boolean": "true",
    "real": "0.5",
    "double precision": "0.5",
    "numeric": "0.5",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uuid[]": "{00000000-0000-4000-8000-000000000000}",
    "regclass": "public.watched",
    "timestamp with time zone": "2030-01-01",
    "jsonb": "{}",
    "bytea": "\\x00",
    "halfvec": "[1,2,3]",
}
TEXTS = {"text", "text[]", "jsonb"}
# Errors that tell that a text was read as something else than text, or fell through.
NEVER = ("42601", "42P01", "42703", "42883", "38000", "XX000", "22023", "42P02", "42704")


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    db.document(people.acme, "the charter of acme")
    db.execute("create table public.watched (id int primary key, body text, scope uuid)")
    db.drain()
    return people


def public_functions(db: Database) -> list[dict[str, Any]]:
    """Functions of loci with their input arguments."""
    return db.rows(
        """
        select p.proname as name, p.prokind::text as kind, json_agg(json_build_object(
            'name', p.proargnames[a.n], 'type', format_type(a.type, null),
            'optional', a.n > p.pronargs - p.pronargdefaults
        ) order by a.n) filter (where a.n is not null) as arguments
        from pg_proc as p
        left join lateral unnest(p.proargtypes::oid[]) with ordinality as a (type, n) on true
        where p.pronamespace = 'loci'::regnamespace and p.prorettype <> 'trigger'::regtype
        group by p.oid
        order by p.oid::regprocedure::text
        """
    )


def call(function: dict[str, Any], target: str, text: str) -> tuple[Composed, list[Any]]:
    """A call with this text in one argument and something harmless in those that need a value."""
    given: list[Composed] = []
    values: list[Any] = []
    for argument in function["arguments"] or []:
        kind = argument["type"]
        if argument["name"] == target:
            value: Any = [text] if kind == "text[]" else text
        elif argument["optional"]:
            continue
        else:
            value = OTHERS.get(kind, ["charter"] if kind == "text[]" else "charter")
        if kind == "jsonb" and argument["name"] == target:
            given.append(SQL("{} => jsonb_build_object(%s::text, %s::text)").format(Identifier(argument["name"])))
            values += [text, text]
        else:
            given.append(SQL("{} => %s::{}").format(Identifier(argument["name"]), SQL(kind)))
            values.append(value)
    form = "call loci.{}({})" if function["kind"] == "p" else "select * from loci.{}({})"
    return SQL(form).format(Identifier(function["name"]), SQL(", ").join(given)), values


def test_no_text_is_read_as_sql(db: Database, people: People) -> None:
    """Every text argument of every public function, found in the catalogue, so that new ones are tried too."""
    # Its expressions are SQL by definition (tests/security/test_hostile_sources.py); the others are names and words.
    expressions = {
        ("watch", name) for name in ("content", "scope", "audience", "metadata", "context", "title", "mime_type")
    }
    tried = set()
    complaints = []
    everything = db.login_role("everything", "loci_app", "loci_admin", "loci_monitor")
    db.execute(f'alter table public.watched owner to "{everything}"')
    functions = public_functions(db)
    with db.connect(everything) as connection:
        for function in functions:
            targets = [a["name"] for a in function["arguments"] or [] if a["type"] in TEXTS]
            for target, text in itertools.product(targets, HOSTILE):
                if (function["name"], target) in expressions or function["name"].startswith("adopt_pgai"):
                    continue
                tried.add((function["name"], target))
                statement, values = call(function, target, text)
                connection.execute("begin")
                run(connection, "select loci.act_as(%s)", (people.ada,))
                try:
                    connection.execute(statement, values)
                except psycopg.Error as error:
                    if not (error.sqlstate or "").startswith("LC") and error.sqlstate in NEVER:
                        complaints.append(
                            f"{function['name']}({target} => {text[:40]!r}): {error.sqlstate} {error}"[:300]
                        )
                connection.execute("rollback")
    assert len(tried) > 20
    assert {
        ("search", "query"),
        ("search", "sources"),
        ("login", "jwt"),
        ("setting", "name"),
        ("watch", "name"),
    } <= tried
    assert not complaints, "\n".join(complaints)
    assert db.value("select to_regclass('public.owned')") is None
    assert db.value("select count(*) from loci.documents") == 1


@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
def test_hostile_questions_find_what_they_say(db: Database, people: People, mode: str) -> None:
    with db.acting(people.ada) as connection:
        for text in HOSTILE:
            for question in (text, f"charter {text}", f"{text} charter"):
                rows = run(connection, "select content from loci.search(%s, mode => %s)", (question, mode)).fetchall()
                assert {row["content"] for row in rows} <= {"the charter of acme"}
                if "charter" in question:
                    assert rows, question


def test_hostile_contents_are_kept_as_they_are(db: Database, people: People) -> None:
    user = db.user("collector@example.org")
    with db.acting(user) as connection:
        # Numbered: what differs in signs only is found once.
        for number, text in enumerate(HOSTILE):
            run(
                connection,
                "insert into loci.documents (title, content) values (%s, %s)",
                (text, f"charter {number} {text}"),
            )
        stored = {row["content"] for row in run(connection, "select content from loci.documents").fetchall()}
    assert stored == {f"charter {number} {text}" for number, text in enumerate(HOSTILE)}
    db.drain()
    assert db.rows("select * from loci.failures") == []
    found = db.search(user, "charter", k=1000)
    assert {row["title"] for row in found} == set(HOSTILE)
    db.execute("delete from loci.documents where scope_id = %s", user)
    db.drain()


def test_nul_is_refused(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        for statement in (
            r"select * from loci.search(E'char\000ter')",
            r"insert into loci.documents (content) values (E'char\000ter')",
            r"""insert into loci.documents (content, metadata) values ('x', '{"a": "\u0000"}')""",
        ):
            with refused("22021", "22P05"), connection.transaction():
                run(connection, statement)
        with pytest.raises(psycopg.DataError), connection.transaction():
            run(connection, "select * from loci.search(%s)", ("char\0ter",))


def test_filters_are_values(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        for text in HOSTILE:
            with refused("LC249"), connection.transaction():
                run(connection, "select * from loci.search('charter', sources => array[%s])", (text,))
            search = "select * from loci.search('charter', metadata => jsonb_build_object(%s::text, %s::text))"
            assert run(connection, search, (text, text)).fetchall() == []
