"""Row-level security: what an application login can do to rows of others, table by table."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.database import Database
from tests.security.world import World, make_world, refused, run

TABLES = (
    "organizations", "users", "organization_members", "teams", "team_members", "projects", "project_members", "documents",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    world = make_world(db)
    db.team(world.umbrella, "hunters", world.users["eve"])
    for project, user in ((world.theirs, "eve"), (world.everybody, "ada")):
        db.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", project, world.users[user])
    for scope in ("acme", "umbrella", "everybody", "teams", "private", "theirs"):
        db.document(getattr(world, scope), f"of {scope}")
    for user in world.users:
        db.document(world.users[user], f"of {user}")
    db.document(world.acme, "of acme for bob", audience=[world.users["bob"]])
    db.document(world.acme, "of acme for the team", audience=[world.team])
    db.document(world.acme, "of acme for nobody", audience=[])
    db.document(world.umbrella, "of umbrella for bob", audience=[world.users["bob"]])
    return world


SEEN = {
    "ada": {"of acme", "of everybody", "of ada"},
    "bob": {"of acme", "of everybody", "of teams", "of bob", "of acme for bob", "of acme for the team"},
    "cat": {"of acme", "of everybody", "of private", "of cat"},
    "eve": {"of umbrella", "of theirs", "of eve"},
    "fay": {"of fay"},
}


@pytest.mark.parametrize("user", SEEN)
def test_documents_seen(db: Database, world: World, user: str) -> None:
    with db.acting(world.users[user]) as connection:
        rows = run(connection, "select content from loci.documents").fetchall()
        assert sorted(row["content"] for row in rows) == sorted(SEEN[user])


@pytest.mark.parametrize("table", TABLES)
def test_another_house_is_out_of_sight(db: Database, world: World, table: str) -> None:
    """Everything that ada sees in a table is of hers; everything that eve sees is of hers; no row is of both."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for user in ("ada", "eve"):
        with db.acting(world.users[user]) as connection:
            rows[user] = connection.execute(SQL("select * from loci.{}").format(Identifier(table))).fetchall()
            assert rows[user]
    for row in rows["eve"]:
        assert row not in rows["ada"]
    theirs = {world.umbrella, world.theirs, world.users["eve"], world.users["fay"]}
    assert not [row for row in rows["ada"] if theirs & {v for v in row.values() if isinstance(v, UUID)}]


@pytest.mark.parametrize("table", TABLES)
def test_rows_out_of_sight_cannot_be_changed(db: Database, world: World, table: str) -> None:
    """eve owns her organization and still reaches nothing of the other."""
    before = db.rows(f"select * from loci.{table} order by 1, 2, 3")
    column = {"organizations": "name", "teams": "name", "projects": "name", "organization_members": "role"}.get(table)
    columns = ["content", "scope_id", "audience", "metadata"] if table == "documents" else [column] if column else []
    with db.acting(world.users["eve"]) as connection:
        mine = {"organizations": [world.umbrella]}.get(table)
        for name in columns:
            value = {
                "role": "owner", "scope_id": str(world.users["eve"]), "audience": "{}", "metadata": "{}",
            }.get(name, "taken over")  # fmt: skip
            where = "organization_id <> %s" if table != "documents" else "organization_id is distinct from %s"
            statement = SQL("update loci.{} set {} = %s where " + where).format(Identifier(table), Identifier(name))
            parameters: list[Any] = [value, world.umbrella]
            if table == "documents":
                statement = SQL("update loci.documents set {} = %s where scope_id <> all(%s)").format(Identifier(name))
                parameters[1] = [world.users["eve"], world.umbrella, world.theirs]
            assert connection.execute(statement, parameters).rowcount == 0, name
        if table not in ("organizations", "users"):
            where = "scope_id <> all(%s)" if table == "documents" else "organization_id <> all(%s)"
            mine = [world.users["eve"], world.umbrella, world.theirs]
            assert run(connection, f"delete from loci.{table} where {where}", [mine]).rowcount == 0
    assert db.rows(f"select * from loci.{table} order by 1, 2, 3") == before


FORBIDDEN = [
    "insert into loci.organizations (name) values ('mine')",
    "delete from loci.organizations",
    "insert into loci.users (email) values ('x@example.org')",
    "update loci.users set email = 'x@example.org'",
    "update loci.users set db_role = session_user where user_id = loci.current_user_id()",
    "delete from loci.users",
    "update loci.organizations set api_key_ref = 'file:/etc/passwd'",
    "update loci.organizations set budget_usd_month = 1e6",
    "update loci.organizations set embedding_model = 'hash'",
    "update loci.organizations set chat_model = 'expensive'",
    "update loci.organizations set fallback_model = 'expensive'",
    "update loci.organizations set settings = '{}'",
    "update loci.organizations set organization_id = gen_random_uuid()",
    "update loci.organizations set created_at = now()",
    "update loci.organization_members set joined_at = '-infinity'",
    "update loci.organization_members set user_id = loci.current_user_id()",
    "update loci.organization_members set organization_id = gen_random_uuid()",
    "update loci.teams set organization_id = gen_random_uuid()",
    "update loci.team_members set user_id = loci.current_user_id()",
    "update loci.projects set organization_id = gen_random_uuid()",
    "update loci.projects set project_id = gen_random_uuid()",
    "update loci.project_members set user_id = loci.current_user_id()",
    "update loci.settings set value = '1' where name = 'drain_seconds'",
    "insert into loci.settings (name, kind, description) values ('x', 'text', 'x')",
    "delete from loci.settings",
    "insert into loci.embedding_models (name, provider, dimensions) values ('x', 'hash', 8)",
    "update loci.embedding_models set provider = 'local'",
    "delete from loci.embedding_models",
    "select loci.add_embedding_model('x', provider => 'hash', dimensions => 8)",
    "select loci.use_embedding_model('hash')",
    "select loci.drop_embedding_model('hash')",
    "select loci.reconcile()",
    "select loci.retry_failures()",
    "select * from loci.status()",
    "select * from loci.sources",
    "select * from loci.failures",
    "select * from loci.progress",
    "select * from loci.jobs",
    "select * from loci.gateways",
    "select * from loci.redaction_patterns",
    "insert into loci.redaction_patterns (name, kind, pattern) values ('x', 'x', 'x')",
    "delete from loci.redaction_patterns",
    "select loci.add_gateway('default', base_url => 'http://evil.example.org/v1')",
    *(f"truncate loci.{table} cascade" for table in TABLES),
    *(f"alter table loci.{table} disable row level security" for table in TABLES),
    *(f"alter table loci.{table} disable trigger all" for table in TABLES),
    *(
        f"create trigger t after insert on loci.{table} execute function suppress_redundant_updates_trigger()"
        for table in TABLES
    ),
    *(f"create policy p on loci.{table} using (true)" for table in TABLES),
    "alter policy seen on loci.documents using (true)",
    "drop policy seen on loci.documents",
    "create rule r as on insert to loci.documents do also notify x",
    "comment on table loci.documents is 'mine'",
    "alter function loci.visible_scopes() security invoker",
    "create or replace function loci.visible_scopes() returns uuid[] language sql as 'select null::uuid[]'",
    "grant loci_admin to current_user",
    "set role loci_admin",
    "set role loci_owner",
    "set role loci_worker",
    "set session_replication_role = replica",
    "call loci.drain()",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_what_an_application_may_never_do(db: Database, world: World, statement: str) -> None:
    # As ada, who owns an organization: nobody among the users has more rights.
    with db.acting(world.users["ada"]) as connection, refused("42501", "LC252"):
        run(connection, statement)


def test_row_security_cannot_be_turned_off(db: Database, world: World) -> None:
    with db.acting(world.users["ada"]) as connection, refused("42501"):
        connection.execute("set local row_security = off")
        connection.execute("select * from loci.documents")


# --- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["ada", "dan", "eve", "fay"])
def test_documents_go_where_the_user_sees(db: Database, world: World, user: str) -> None:
    with db.acting(world.users[user]) as connection:
        row = run(connection, "select loci.visible_scopes() as scopes").fetchone()
        assert row is not None
        visible = set(row["scopes"])
        for scope in (*world.users.values(), world.acme, world.umbrella, world.everybody, world.teams, world.private):
            if scope in visible:
                run(connection, "insert into loci.documents (scope_id, content) values (%s, 'x')", (scope,))
            else:
                with refused("LC141"), connection.transaction():
                    run(connection, "insert into loci.documents (scope_id, content) values (%s, 'x')", (scope,))
                with refused("LC141"), connection.transaction():
                    run(connection, "update loci.documents set scope_id = %s", (scope,))
        connection.execute("rollback")


def test_without_a_scope_it_is_the_users_own(db: Database, world: World) -> None:
    with db.acting(world.users["dan"]) as connection:
        rows = run(
            connection,
            "insert into loci.documents (content, organization_id, created_by) values ('x', %s, %s) "
            "returning scope_id, created_by, organization_id",
            (world.umbrella, world.users["eve"]),
        ).fetchall()
        dan = world.users["dan"]
        assert rows == [{"scope_id": dan, "created_by": dan, "organization_id": world.acme}]
        rows = run(connection, "update loci.documents set created_by = %s where scope_id = %s returning created_by",
                   (world.users["eve"], dan)).fetchall()  # fmt: skip
        assert {row["created_by"] for row in rows} <= {dan, None}
        connection.execute("rollback")
    with db.acting(None) as connection, refused("LC140"):
        run(connection, "insert into loci.documents (content) values ('x')")


def test_scopes_out_of_sight_and_scopes_that_do_not_exist_look_the_same(db: Database, world: World) -> None:
    def message(statement: str, scope: UUID) -> tuple[Any, ...]:
        with db.acting(world.users["dan"]) as connection, pytest.raises(psycopg.Error) as caught:
            run(connection, statement, {"scope": scope, "dan": world.users["dan"]})
        diag = caught.value.diag
        shown = (
            diag.sqlstate,
            diag.message_primary,
            diag.message_detail,
            diag.message_hint,
            diag.constraint_name,
            diag.context,
        )
        return tuple(str(part).replace(str(scope), "SCOPE") for part in shown)

    for statement in (
        "insert into loci.documents (scope_id, content) values (%(scope)s, 'x')",
        "update loci.documents set scope_id = %(scope)s where scope_id = %(dan)s",
        "insert into loci.organization_members (organization_id, user_id) values (%(scope)s, %(dan)s)",
        "insert into loci.projects (organization_id, name) values (%(scope)s, 'x')",
        "insert into loci.teams (organization_id, name) values (%(scope)s, 'x')",
        "insert into loci.project_members (project_id, user_id) values (%(scope)s, %(dan)s)",
        "insert into loci.team_members (team_id, user_id) values (%(scope)s, %(dan)s)",
    ):
        unknown = message(statement, uuid4())
        for scope in (world.umbrella, world.theirs, world.private, world.users["eve"], world.team):
            assert message(statement, scope) == unknown, (statement, scope)


def test_a_document_cannot_be_looked_at_by_the_way(db: Database, world: World) -> None:
    """Through conflicts, references, functions of the user's own, statistics, or EXPLAIN."""
    role = db.login_role("curious", "loci_app")
    db.execute(f'create schema "{role}" authorization "{role}"')
    hidden = db.document(world.private, "the hidden word is xyzzy")
    db.execute("analyze loci.documents")
    with db.acting(world.users["dan"], role) as connection:
        run(connection, f'set local search_path = "{role}"')
        run(connection, "create table heard (what text)")
        run(
            connection,
            "create function listen(text) returns boolean language plpgsql cost 0.0000001 as "
            "$$ begin insert into heard values ($1); return true; end $$",
        )
        run(connection, "select * from loci.documents where listen(content)")
        run(connection, "select * from loci.documents where listen(content) and scope_id is not null order by content")
        run(connection, "update loci.documents set title = 'x' where listen(content)")
        run(connection, "select count(*) from loci.documents d join loci.documents e on listen(d.content || e.content)")
        heard = {row["what"] for row in run(connection, "select what from heard").fetchall()}
        assert heard and not [what for what in heard if re.search(r"xyzzy|private|of teams|of eve(?!ry)", what)]
        for view in ("pg_stats", "pg_stats_ext"):
            assert run(connection, f"select from {view} where schemaname in ('loci', 'loci_private')").fetchall() == []
        with refused("42501"), connection.transaction():
            run(connection, "select * from pg_statistic")
        with refused("42501"), connection.transaction():
            run(connection, "create table t (document_id uuid references loci.documents)")
        with refused("42501"), connection.transaction():
            run(connection, "create table t (like loci.documents including all) inherits (loci.documents)")
        with refused("42501"), connection.transaction():
            run(
                connection,
                "insert into loci.documents (document_id, content) values (%s, 'x') "
                "on conflict (document_id) do update set content = excluded.content returning loci.documents.*",
                (hidden,),
            )
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            run(connection, "insert into loci.documents (document_id, content) values (%s, 'x')", (hidden,))
        assert "xyzzy" not in str(caught.value)


def test_an_operator_of_the_users_own_opens_nothing(db: Database, world: World) -> None:
    """The predicate of the policies is inlined into queries; it must not be read with the caller's search_path."""
    role = db.login_role("shadow", "loci_app")
    user = db.user("shadow@example.org")
    db.execute("update loci.users set db_role = %s where user_id = %s", role, user)
    db.execute(f'create schema "{role}" authorization "{role}"')
    with db.connect(role) as connection:
        run(connection, f'set search_path = "{role}"')
        run(connection, "create function yes(uuid, uuid) returns boolean language sql immutable as 'select true'")
        run(connection, "create function yes(uuid[], uuid[]) returns boolean language sql immutable as 'select true'")
        run(
            connection,
            "create function yes(anyarray, anyarray) returns boolean language sql immutable as 'select true'",
        )
        run(connection, "create operator = (leftarg = uuid, rightarg = uuid, function = yes)")
        run(connection, "create operator && (leftarg = uuid[], rightarg = uuid[], function = yes)")
        run(connection, "create operator && (leftarg = anyarray, rightarg = anyarray, function = yes)")
        run(connection, "create domain uuid as text")
        run(connection, f'set search_path = "{role}", pg_catalog')
        assert run(connection, "select * from loci.documents").fetchall() == []
        assert run(connection, "select * from loci.search('of everybody')").fetchall() == []
        assert run(connection, "update loci.documents set content = 'x'").rowcount == 0
        assert run(connection, "delete from loci.documents").rowcount == 0
        for table in TABLES:
            rows = run(connection, f"select * from loci.{table}").fetchall()
            assert len(rows) == (1 if table == "users" else 0)
