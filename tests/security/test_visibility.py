"""Which scopes a user sees, and that what is taken away is gone in the next statement."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.database import Connection, Database
from tests.security.world import World, make_world


@pytest.fixture
def world(db: Database) -> World:
    return make_world(db)


def scopes(connection: Connection) -> set[UUID]:
    row = connection.execute("select loci.visible_scopes() as scopes").fetchone()
    assert row is not None
    assert len(row["scopes"]) == len(set(row["scopes"]))
    return set(row["scopes"])


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("ada", ["ada", "acme", "everybody"]),
        ("bob", ["bob", "acme", "everybody", "teams"]),
        ("cat", ["cat", "acme", "everybody", "private"]),
        ("dan", ["dan", "acme", "everybody"]),
        ("eve", ["eve", "umbrella", "theirs"]),
        ("fay", ["fay"]),
    ],
)
def test_scopes_of(db: Database, world: World, user: str, expected: list[str]) -> None:
    with db.acting(world.users[user]) as connection:
        assert scopes(connection) == world.scopes(*expected)
        projects = connection.execute("select project_id from loci.visible_projects()").fetchall()
        assert {row["project_id"] for row in projects} == world.scopes(*expected) & world.scopes(
            "everybody", "teams", "private", "theirs"
        )


def test_principals_are_the_user_and_the_teams(db: Database, world: World) -> None:
    for user, expected in {"bob": {world.users["bob"], world.team}, "ada": {world.users["ada"]}}.items():
        with db.acting(world.users[user]) as connection:
            row = connection.execute("select loci.current_principals() as p").fetchone()
            assert row is not None and set(row["p"]) == expected


REVOCATIONS = {
    # statement of an administrator -> (who, what is gone)
    "left the team": ("delete from loci.team_members where user_id = %(bob)s", "bob", ["teams"]),
    "the team is gone": (
        "update loci.projects set visibility = 'private', team_id = null where project_id = %(teams)s", "bob", ["teams"],
    ),
    "another team": ("update loci.projects set team_id = %(other)s where project_id = %(teams)s", "bob", ["teams"]),
    "left the project": ("delete from loci.project_members where user_id = %(cat)s", "cat", ["private"]),
    "the project became private": (
        "update loci.projects set visibility = 'private' where project_id = %(everybody)s", "dan", ["everybody"],
    ),
    "the project is gone": ("delete from loci.projects where project_id = %(everybody)s", "dan", ["everybody"]),
    "left the organization": (
        "delete from loci.organization_members where user_id = %(bob)s", "bob", ["acme", "everybody", "teams"],
    ),
    "left the organization with a project": (
        "delete from loci.organization_members where user_id = %(cat)s", "cat", ["acme", "everybody", "private"],
    ),
    "the organization is gone": (
        "delete from loci.projects where organization_id = %(acme)s; "
        "delete from loci.organizations where organization_id = %(acme)s", "bob", ["acme", "everybody", "teams"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REVOCATIONS)
def test_revocation_takes_effect_in_the_next_statement(db: Database, world: World, case: str) -> None:
    statement, user, gone = REVOCATIONS[case]
    for scope in (world.acme, world.everybody, world.teams, world.private):
        db.document(scope, f"document of {scope}")
    lost = world.scopes(*gone)
    names = {**world.users, **vars(world), "other": db.team(world.acme, "painters")}
    with db.acting(world.users[user]) as connection:
        before = scopes(connection)
        assert lost < before

        def seen() -> set[UUID]:
            rows = connection.execute("select scope_id from loci.documents").fetchall()
            found = connection.execute("select scope_id from loci.search('document', k => 50)").fetchall()
            assert {row["scope_id"] for row in found} <= {row["scope_id"] for row in rows}
            return {row["scope_id"] for row in rows}

        assert lost & world.scopes("acme", "everybody", "teams", "private") <= seen()
        for part in statement.split("; "):
            with db.connect() as administrator:
                administrator.execute(part, names)  # type: ignore[call-overload]
        assert scopes(connection) == before - lost
        assert not seen() & lost


def test_leaving_the_organization_ends_everything_in_it(db: Database, world: World) -> None:
    """Also for good: coming back does not bring the old teams and projects back."""
    bob, cat = world.users["bob"], world.users["cat"]
    db.execute("delete from loci.organization_members where user_id = any(%s)", [bob, cat])
    assert db.rows("select from loci.team_members where user_id = %s", bob) == []
    assert db.rows("select from loci.project_members where user_id = %s", cat) == []
    for user in (bob, cat):
        db.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", world.acme, user)
    with db.acting(bob) as connection:
        assert scopes(connection) == world.scopes("bob", "acme", "everybody")


@pytest.mark.parametrize(
    ("table", "columns"), [("team_members", ("team_id", "team")), ("project_members", ("project_id", "private"))]
)
def test_only_members_of_the_organization_can_be_added(
    db: Database, world: World, table: str, columns: tuple[str, str]
) -> None:
    column, name = columns
    statement = SQL("insert into loci.{} (organization_id, {}, user_id) values (%s, %s, %s)").format(
        Identifier(table), Identifier(column)
    )
    for organization in (world.acme, world.umbrella):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            db.admin.execute(statement, (organization, getattr(world, name), world.users["eve"]))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("update loci.projects set team_id = %s where project_id = %s", world.team, world.theirs)


def test_scopes_keep_their_ids_and_their_organization(db: Database, world: World) -> None:
    for table, column, value in (
        ("organizations", "organization_id", world.acme),
        ("users", "user_id", world.users["fay"]),
        ("projects", "project_id", world.private),
        ("projects", "organization_id", world.acme),
    ):
        with pytest.raises(psycopg.Error) as caught:
            db.admin.execute(
                SQL("update loci.{} set {} = %s where {} = %s").format(
                    Identifier(table), Identifier(column), Identifier(column)
                ),
                (world.umbrella if column == "organization_id" and table == "projects" else world.team, value),
            )
        assert caught.value.sqlstate == "LC104", (table, column)


def test_an_id_names_one_scope(db: Database, world: World) -> None:
    for statement in (
        "insert into loci.users (user_id) values (%(acme)s)",
        "insert into loci.organizations (organization_id, name) values (%(dan)s, 'x')",
        "insert into loci.projects (project_id, organization_id, name) values (%(dan)s, %(acme)s, 'x')",
        "insert into loci.projects (project_id, organization_id, name) values (%(umbrella)s, %(acme)s, 'x')",
    ):
        with pytest.raises(psycopg.Error) as caught:
            db.admin.execute(statement, {**world.users, **vars(world)})  # type: ignore[call-overload]
        assert caught.value.sqlstate == "LC103", statement


def test_a_deleted_user_leaves_documents_of_others_behind(db: Database, world: World) -> None:
    dan = world.users["dan"]
    with db.acting(dan) as connection:
        connection.execute("insert into loci.documents (scope_id, content) values (%s, 'for all')", (world.acme,))
        connection.execute("insert into loci.documents (content) values ('for dan')")
    db.execute("delete from loci.users where user_id = %s", dan)
    rows = db.rows("select content, created_by from loci.documents where organization_id = %s", world.acme)
    assert rows == [{"content": "for all", "created_by": None}]
    assert db.rows("select from loci.documents where scope_id = %s", dan) == []


def test_what_is_a_users_own_outlives_an_organization(db: Database, world: World) -> None:
    with db.acting(world.users["dan"]) as connection:
        connection.execute("insert into loci.documents (content) values ('for dan')")
    db.execute("delete from loci.projects where organization_id = %s", world.acme)
    db.execute("delete from loci.organizations where organization_id = %s", world.acme)
    with db.acting(world.users["dan"]) as connection:
        assert connection.execute("select content from loci.documents").fetchall() == [{"content": "for dan"}]
