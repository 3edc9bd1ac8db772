"""Watched tables of an owner who means harm: whatever his expressions, functions and types do, they do as him.

A superuser watches the table (it may have looked harmless then), a superuser's cron drains and reconciles, applications
write to it. None of their rights, none of Loci's own and no setting of their sessions may come within the owner's reach.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.database import Connection, Database, People
from tests.security.world import refused, run

_numbers = itertools.count(1)

HOSTILE = """
-- Sequences and warnings outlast whatever is rolled back.
create sequence {m}.ran;
create sequence {m}.as_another;
create sequence {m}.could;
grant usage on schema {m} to public;
grant all on all sequences in schema {m} to public;

-- What somebody with more rights could do.
create function {m}.attack(anything text) returns text language plpgsql as $$
declare
    v_statement text;
begin
    perform nextval('{m}.ran');
    if current_user <> '{role}' then
        perform nextval('{m}.as_another');
        raise warning 'hostile: ran as %', current_user;
    elsif session_user = current_user then
        return anything;
    end if;
    foreach v_statement in array array[
        'reset role', 'set role none', 'set local role loci_owner', 'set role {superuser}', 'set session authorization default',
        'reset session authorization', 'set session authorization {superuser}', 'alter role {mallory} superuser',
        'select key from loci_private.session_key', 'select * from loci_private.chunks', 'select * from loci_private.row_queue',
        'select * from loci.documents', 'select * from loci.users', 'create table loci.owned (x int)',
        'create table loci_private.owned (x int)',
        'create or replace function loci.visible_scopes() returns uuid[] language sql as ''select null::uuid[]''',
        'alter table loci.documents disable row level security', 'grant loci_owner to {mallory}',
        'copy pg_class to program ''cat''', 'select pg_read_file(''/etc/passwd'')',
        'update loci.settings set value = ''1'' where name = ''drain_seconds''',
        'select loci_private.read_rows(1, array[''x''])', 'select loci_private.source_1_read(null)',
        'create function {m}.py() returns int language plpython3u as ''return 1''', 'set session_replication_role = replica'
    ] loop
        begin
            execute v_statement;
            -- It worked, and that is enough: taken back, so that the next test finds a whole house.
            raise exception sqlstate 'PCOUL';
        exception
            when sqlstate 'PCOUL' then
                perform nextval('{m}.could');
                raise warning 'hostile: could %', v_statement;
            when others then null;
        end;
    end loop;
    return anything;
end $$;

-- Later, when the transaction ends and nobody's function is on the stack any more.
create function {m}.later() returns trigger language plpgsql as $$ begin perform {m}.attack('later'); return null; end $$;
create table {m}.fuse (x int);
create constraint trigger later after insert on {m}.fuse deferrable initially deferred for each row execute function {m}.later();
create function {m}.defer(anything text) returns text language plpgsql as $$
begin insert into {m}.fuse values (1); return {m}.attack(anything); end $$;

create function {m}.hold(anything text) returns text language plpgsql as $$
begin
    execute 'declare held cursor with hold for select {m}.attack(''held'')';
    return anything;
exception when others then
    return anything;
end $$;

-- Through what the session does next.
create function {m}.shadow(anything text) returns text language plpgsql as $$
begin
    perform pg_catalog.set_config('search_path', '{m}, pg_catalog', false);
    perform pg_catalog.set_config('check_function_bodies', 'off', false);
    perform pg_catalog.set_config('application_name', 'mine', false);
    perform pg_catalog.set_config('statement_timeout', '123s', false);
    perform pg_catalog.set_config('default_transaction_read_only', 'on', false);
    return anything;
end $$;
create function {m}.set_config(text, text, boolean) returns text language plpgsql as $$
begin perform {m}.attack('set_config'); return pg_catalog.set_config($1, $2, $3); end $$;
create function {m}.current_setting(text) returns text language plpgsql as $$
begin perform {m}.attack('current_setting'); return pg_catalog.current_setting($1); end $$;

create function {m}.rubbish(anything text) returns text language plpgsql as $$
begin raise exception 'the secret of this row is %', anything; end $$;
"""


class Mallory:
    """A login role that owns a schema and nothing else."""

    def __init__(self, db: Database, people: People) -> None:
        self.db = db
        self.people = people
        self.role = db.login_role("mallory")
        self.schema = f"{db.name}_m"
        db.execute(f'create schema "{self.schema}" authorization "{self.role}"')
        superuser = db.value("select current_user")
        with db.connect(self.role) as connection:
            names = {
                "m": f'"{self.schema}"', "mallory": f'"{self.role}"', "role": self.role, "superuser": f'"{superuser}"',
            }  # fmt: skip
            script = HOSTILE
            for name, value in names.items():
                script = script.replace(f"{{{name}}}", value)
            run(connection, script)

    def do(self, sql: str, *parameters: Any) -> None:
        with self.db.connect(self.role) as connection:
            run(connection, f'set search_path = "{self.schema}", public')
            run(connection, sql, parameters or None)

    def table(self, key: str = "int", expression: str = "body") -> str:
        """A table of hers with one row; its name."""
        name = f"t{next(_numbers)}"
        self.do(f"create table {name} (id {key} primary key, body text, scope uuid, ids uuid[], data jsonb)")
        return f'"{self.schema}".{name}'

    def fill(self, table: str, id: Any = 1) -> None:
        self.do(f"insert into {table} values (%s, 'hello', %s, null, '{{}}')", id, self.people.acme)

    def count(self, sequence: str) -> int:
        """How often something happened since forget()."""
        row = self.db.rows(f'select last_value as n, is_called from "{self.schema}".{sequence}')[0]
        return int(row["n"]) if row["is_called"] else 0

    def forget(self) -> None:
        self.do(
            "truncate fuse; alter sequence ran restart; alter sequence as_another restart; alter sequence could restart"
        )

    def check(self) -> None:
        """Nothing ran as anybody else, and nothing worked that needs more rights than hers (the log says what)."""
        assert (self.count("as_another"), self.count("could")) == (0, 0)
        assert self.db.value("select not rolsuper from pg_roles where rolname = %s", self.role)
        assert self.db.value("select to_regclass('loci.owned') is null and to_regclass('loci_private.owned') is null")
        assert self.db.value("select relrowsecurity from pg_class where oid = 'loci.documents'::regclass")
        assert self.db.value("select count(*) from loci.documents") == 1


SESSION = (
    "search_path",
    "check_function_bodies",
    "application_name",
    "statement_timeout",
    "default_transaction_read_only",
    "role",
)


def session(connection: Connection) -> dict[str, str]:
    return {
        name: run(connection, f"select pg_catalog.current_setting('{name}') as v").fetchall()[0]["v"]
        for name in SESSION
    }


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    db.document(people.acme, "the charter")
    db.drain()
    return people


@pytest.fixture(scope="module")
def mallory(db: Database, people: People) -> Mallory:
    return Mallory(db, people)


@pytest.fixture(scope="module")
def operator_connection(db: Database, mallory: Mallory) -> Iterator[Connection]:
    with db.connect() as connection:
        yield connection


@pytest.fixture
def operator(operator_connection: Connection) -> Connection:
    """A superuser's session, such as a DBA's or pg_cron's."""
    run(operator_connection, "reset session authorization")
    run(operator_connection, "reset all")
    return operator_connection


@pytest.fixture
def table(db: Database, mallory: Mallory) -> Iterator[str]:
    mallory.forget()
    table = mallory.table()
    mallory.fill(table)
    yield table
    db.execute("select loci.unwatch(%s::regclass)", table)
    mallory.do(f"drop table {table}")


def watch(connection: Connection, table: str, **arguments: Any) -> int:
    arguments = {"content": "body", "scope": "scope", **arguments}
    given = ", ".join(f"{name} => %s" for name in arguments)
    rows = run(connection, f"select loci.watch(%s::regclass, {given}) as id", (table, *arguments.values())).fetchall()
    return int(rows[0]["id"])


CALLS = [
    *(("content", call) for call in ("attack", "defer", "hold", "shadow")),
    *((where, "defer") for where in ("scope", "audience", "metadata", "context", "title", "mime_type")),
]


@pytest.mark.parametrize(("where", "call"), CALLS)
def test_functions_run_as_the_owner(
    db: Database, mallory: Mallory, operator: Connection, table: str, call: str, where: str
) -> None:
    """By watch(), by the triggers, by the drain and by reconcile(), each of them a superuser's session."""
    plain = {"scope": "scope", "audience": "ids", "metadata": "data", "mime_type": "'text/plain'"}.get(where, "body")
    kind = {"scope": "uuid", "audience": "uuid[]", "metadata": "jsonb"}.get(where, "text")
    expression = f"{call}(({plain})::text)::{kind}"
    before = session(operator)
    watch(operator, table, **{where: expression})
    assert session(operator) == before
    mallory.check()
    for statement in (
        "call loci.drain(30)",
        "select loci.reconcile()",
        "select loci.reconcile(deep => true)",
        f"update {table} set body = body || '!', scope = scope",
        f"delete from {table}",
        "call loci.drain(30)",
    ):
        if statement.startswith(("update", "delete")):
            # Whoever writes to a table runs its owner's code in any case; so let the owner write.
            mallory.do(statement)
        else:
            run(operator, statement)
            assert session(operator) == before, statement
        mallory.check()
    assert call in ("hold", "shadow") or mallory.count("ran"), "the expression never ran"


@pytest.mark.parametrize("call", ["defer", "shadow"])
def test_code_smuggled_into_an_expression_runs_as_the_owner(
    db: Database, mallory: Mallory, operator: Connection, table: str, call: str
) -> None:
    """Expressions are text: more statements can hide in them, which run when watch() looks at the expression."""
    # It makes whole statements both of the query that reads rows and of the one that looks at the expression.
    smuggled = f"body)::text from {table}; select {call}('x'); select id::text, (body"
    before = session(operator)
    try:
        watch(operator, table, content=smuggled)
    except psycopg.Error as error:
        assert error.sqlstate == "LC248", error
    # The superuser's session goes on.
    run(operator, "select 1")
    assert session(operator) == before
    mallory.check()


EXPRESSIONS = [
    "body) from pg_authid; drop table loci.documents; --",
    "body); drop table loci.documents cascade; select (1",
    "body)::text from pg_class; reset role; create table loci.owned (x int); select (1",
    "body from pg_class where (true",
    "body --",
    "body /*",
    "*/ body",
    "/* ( */ body",
    "body'",
    "body''",
    "'body",
    'body"',
    "body\\",
    "E'\\'; drop table loci.documents; --'",
    "$$body$$",
    "$probe$",
    "$probe$; drop table loci.documents; $probe$",
    "%s",
    "%1$s %I %L",
    "{0}",
    "body::text; commit; create table loci.owned (x int); begin",
    "(select string_agg(rolpassword, '') from pg_authid)",
    "(select encode(key, 'hex') from loci_private.session_key)",
    "(select string_agg(content, '') from loci.documents)",
    "pg_read_file('/etc/passwd')",
    "lo_import('/etc/passwd')::text",
    "set_config('role', 'loci_owner', false)",
    "set_config('session_replication_role', 'replica', false)",
    "query_to_xml('drop table loci.documents', true, true, '')::text",
    "(with d as (delete from loci.documents returning 1) select 'x' from d)",
    "(select pg_terminate_backend(pid)::text from pg_stat_activity where pid <> pg_backend_pid() limit 1)",
    "count(*)::text",
    "rank() over ()::text",
    "generate_series(1, 3)::text",
    "current_user::text || session_user::text",
    "t.body",
    "(loci_wanted).key",
    'body collate "C" || chr(0)',
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_tricks_with_the_text_of_an_expression(
    db: Database, mallory: Mallory, operator: Connection, table: str, expression: str
) -> None:
    for where in ("content", "context", "scope"):
        before = session(operator)
        try:
            watch(operator, table, **{where: expression if where != "scope" else f"({expression})::text::uuid"})
        except psycopg.Error as error:
            assert error.sqlstate in ("LC248", "42601"), error
        assert session(operator) == before
        run(operator, "call loci.drain(30)")
        mallory.check()
        chunks = db.rows(
            "select c.content, c.context from loci_private.chunks as c "
            "join loci_private.sources as s on s.source_id = c.source_id where s.relation = %s::regclass", table,
        )  # fmt: skip
        found = " ".join(f"{chunk['content']} {chunk['context']}" for chunk in chunks)
        for secret in ("SCRAM", "root:", "the charter", "postgrespostgres"):
            assert secret not in found
        db.execute("select loci.unwatch(%s::regclass)", table)


def test_no_value_holds_nul(db: Database, mallory: Mallory, table: str) -> None:
    for where in ("content", "scope", "name"):
        with db.connect() as connection, pytest.raises((psycopg.Error, ValueError)):
            watch(connection, table, **{where: "bo\0dy"})


# --- types ------------------------------------------------------------------------------------------------------------

TYPES = {
    "an enum with a cast to text": (
        "create type {t} as enum ('a', 'b'); "
        "create function {t}_text({t}) returns text language plpgsql as $$ begin perform {m}.attack('cast'); return 'a'; end $$; "
        "create cast ({t} as text) with function {t}_text({t})"
    ),
    "an enum with a cast to json": (
        "create type {t} as enum ('a', 'b'); "
        "create function {t}_json({t}) returns json language plpgsql as $$ begin perform {m}.attack('cast'); return '1'; end $$; "
        "create cast ({t} as json) with function {t}_json({t})"
    ),
    "a domain over such an enum": (
        "create type {t}_base as enum ('a', 'b'); "
        "create function {t}_text({t}_base) returns text language plpgsql as $$ begin perform {m}.attack('cast'); return 'a'; end $$; "
        "create cast ({t}_base as text) with function {t}_text({t}_base); create domain {t} as {t}_base"
    ),
    "a domain with a check": (
        "create domain {t} as text check ({m}.attack(value) is not null)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("composite", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_types_of_the_owners_own_run_nothing_as_loci(
    db: Database, mallory: Mallory, operator: Connection, kind: str, composite: bool
) -> None:
    """The trigger functions belong to Loci: a cast that the owner defined must not run in them."""
    mallory.forget()
    name = f"k{next(_numbers)}"
    mallory.do(TYPES[kind].replace("{t}", name).replace("{m}", f'"{mallory.schema}"'))
    key = "id, n" if composite else "id"
    mallory.do(f"create table {name}_t (id {name}, n int default 1, body text, scope uuid, primary key ({key}))")
    table = f'"{mallory.schema}".{name}_t'
    insert = f"insert into {table} (id, body, scope) values (%s, 'hello', %s)"
    mallory.do(insert, "a", mallory.people.acme)
    before = session(operator)
    try:
        watch(operator, table)
    except psycopg.Error as error:
        assert error.sqlstate == "LC248", error
        mallory.check()
        return
    mallory.check()
    for statement in (
        f"insert into {table} (id, body, scope) values ('b', 'hello', '{mallory.people.acme}')",
        f"update {table} set body = 'changed', scope = '{mallory.people.ada}'",
        f"delete from {table} where id = 'b'",
    ):
        mallory.do(statement)
        run(operator, "call loci.drain(30)")
        mallory.check()
    run(operator, "select loci.reconcile(deep => true)")
    assert session(operator) == before
    mallory.check()
    # Written by a superuser: what the type does then, it does as him in any case; but not as Loci.
    run(operator, "select loci.unwatch(%s::regclass)", (table,))


@pytest.mark.parametrize(
    "column",
    [
        "100%",
        "%s",
        "%1$s",
        "a b",
        'quo"te',
        "quo'te",
        "ü",
        "x; drop table loci.documents; --",
        "$1",
        "select",
        "back\\slash",
    ],
)
def test_names_of_columns_are_names(db: Database, mallory: Mallory, column: str) -> None:
    """As key, as content and as scope."""
    quoted = '"' + column.replace('"', '""') + '"'
    # psycopg reads % in statements with parameters only.
    table = f'"{mallory.schema}"."n{next(_numbers)} {column.replace(chr(34), chr(34) * 2)}"'
    with db.connect(mallory.role) as owner:
        run(owner, f"create table {table} ({quoted} text, n int, body text, scope uuid, primary key ({quoted}, n))")
        run(owner, f"insert into {table} values ('a', 1, 'hello', '{mallory.people.acme}')")
    with db.connect() as connection:
        watch(connection, table, content=f"{quoted} || body", name=f"n{next(_numbers)}")
    with db.connect(mallory.role) as owner:
        run(owner, f"update {table} set body = 'hello again'")
        run(owner, f"insert into {table} values ('b', 2, 'welcome', '{mallory.people.acme}')")
    db.drain()
    found = db.found(mallory.people.ada, "hello welcome")
    assert {"ahello again", "bwelcome"} <= found
    db.execute("select loci.unwatch(%s::regclass)", table)
    mallory.check()


# --- readers ----------------------------------------------------------------------------------------------------------


def reader(db: Database, source: int, kind: str) -> str:
    """Name and arguments of a function made for a watched table."""
    return str(
        db.value(
            "select format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) "
            "from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace where p.proname = %s",
            f"source_{source}_{kind}",
        )
    )


def test_readers_cannot_be_changed_by_their_owner(
    db: Database, mallory: Mallory, operator: Connection, table: str
) -> None:
    """She owns them, because they run as her; if she could name them, she could make them run as their caller."""
    source = watch(operator, table, content="attack(body)")
    read, keys = reader(db, source, "read"), reader(db, source, "keys")
    for statement in (
        f"alter function {read} security invoker",
        f'alter function {read} set search_path = "{mallory.schema}"',
        f"alter function {keys} rename to source_1_keys",
        f"grant execute on function {read} to public",
        f"drop function {read}",
        f"select {read.partition('(')[0]}(null)",
    ):
        with refused("42501"):
            mallory.do(statement)


def test_readers_cannot_be_changed_by_an_owner_who_works_for_loci(
    db: Database, mallory: Mallory, operator: Connection, table: str
) -> None:
    """A login that drains, and owns a watched table too."""
    source = watch(operator, table, content="attack(body)")
    db.execute(f'grant loci_worker to "{mallory.role}"')
    try:
        for kind in ("read", "keys", "probe", "place"):
            with refused("42501"):
                mallory.do(f"alter function {reader(db, source, kind)} security invoker")
    finally:
        db.execute(f'revoke loci_worker from "{mallory.role}"')


def test_an_owner_who_takes_everything_away_harms_only_herself(db: Database, mallory: Mallory, people: People) -> None:
    table = mallory.table()
    with db.connect() as connection:
        watch(connection, table)
    mallory.fill(table)
    mallory.do(f"drop table {table}")
    document = db.document(people.acme, "still indexed")
    db.drain()
    assert "still indexed" in db.found(people.ada, "still indexed")
    db.execute("delete from loci.documents where document_id = %s", document)
    db.execute(
        "select loci.unwatch(s.relation) from loci_private.sources as s where s.name like %s", f"%{table.split('.')[1]}"
    )
    db.drain()
    assert db.waiting() == 0


def test_errors_of_an_expression_stay_with_the_administrators(db: Database, mallory: Mallory, table: str) -> None:
    """They may hold what is in the row."""
    with db.connect() as connection:
        watch(connection, table, content="rubbish(body)")
    db.execute("call loci.drain(30)")
    assert db.rows("select from loci.failures where message like %s", "%the secret of this row is hello%")
    with db.acting(mallory.people.ada) as connection, refused("42501"):
        run(connection, "select * from loci.failures")
