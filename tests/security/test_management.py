"""Members, teams and projects: owners and admins manage their own organization, and nobody rises by himself.

owner: everything below, and who is an owner. admin: members, admins, teams and projects; no owner is made, changed
or removed by an admin. member: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from tests.database import Connection, Database
from tests.security.world import World, make_world, refused, run


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    """dan is an admin; eve owns the other organization and is a plain member of this one."""
    world = make_world(db)
    set_role(db, world.acme, world.users["dan"], "admin")
    db.execute("insert into loci.organization_members values (%s, %s, 'member')", world.acme, world.users["eve"])
    return world


def set_role(db: Database, organization: UUID, user: UUID, role: str) -> None:
    db.execute(
        "update loci.organization_members set role = %s where organization_id = %s and user_id = %s",
        role,
        organization,
        user,
    )


@contextmanager
def trying(db: Database, user: UUID | None) -> Iterator[Connection]:
    """A transaction that leaves nothing behind."""
    with db.connect(db.app_role()) as connection:
        connection.execute("begin")
        if user is not None:
            connection.execute("select loci.act_as(%s)", (user,))
        yield connection
        connection.execute("rollback")


def change(connection: Connection, statement: str, **values: Any) -> int:
    """Rows changed; -1 when it was refused."""
    connection.execute("savepoint attempt")
    try:
        return run(connection, statement, values).rowcount
    except Exception as error:
        if getattr(error, "sqlstate", None) != "42501":
            raise
        connection.execute("rollback to attempt")
        return -1


PROMOTE = "update loci.organization_members set role = %(role)s where organization_id = %(organization)s and user_id = %(user)s"
APPOINT = "insert into loci.organization_members (organization_id, user_id, role) values (%(organization)s, %(user)s, %(role)s)"
DISMISS = "delete from loci.organization_members where organization_id = %(organization)s and user_id = %(user)s"


@pytest.mark.parametrize(
    ("actor", "target", "role", "expected"),
    [
        # A member changes nothing, himself least of all.
        ("bob", "bob", "owner", False),
        ("bob", "bob", "admin", False),
        ("bob", "ada", "member", False),
        ("bob", "cat", "admin", False),
        # Nor does the owner of another house.
        ("eve", "eve", "owner", False),
        ("eve", "bob", "admin", False),
        # An admin manages members and admins, but owners only take from owners.
        ("dan", "bob", "admin", True),
        ("dan", "bob", "owner", False),
        ("dan", "dan", "owner", False),
        ("dan", "dan", "member", True),
        ("dan", "ada", "member", False),
        ("dan", "ada", "owner", False),
        # The owner may do all of it.
        ("ada", "bob", "owner", True),
        ("ada", "dan", "member", True),
        ("ada", "dan", "owner", True),
        ("ada", "ada", "member", True),
        ("fay", "fay", "owner", False),
        (None, "bob", "admin", False),
    ],
)
def test_promotion(db: Database, world: World, actor: str | None, target: str, role: str, expected: bool) -> None:
    with trying(db, world.users[actor] if actor else None) as connection:
        done = change(connection, PROMOTE, organization=world.acme, user=world.users[target], role=role)
        assert (done == 1) is expected


@pytest.mark.parametrize(
    ("actor", "target", "expected"),
    [
        ("bob", "bob", False), ("bob", "ada", False), ("eve", "bob", False), ("dan", "bob", True), ("dan", "dan", True),
        ("dan", "ada", False), ("ada", "dan", True), ("ada", "bob", True), ("ada", "ada", True), (None, "bob", False),
    ],
)  # fmt: skip
def test_dismissal(db: Database, world: World, actor: str | None, target: str, expected: bool) -> None:
    with trying(db, world.users[actor] if actor else None) as connection:
        assert (change(connection, DISMISS, organization=world.acme, user=world.users[target]) == 1) is expected


@pytest.mark.parametrize(
    ("actor", "organization", "role", "expected"),
    [
        ("bob", "acme", "member", False), ("dan", "acme", "member", True), ("dan", "acme", "admin", True),
        ("dan", "acme", "owner", False), ("ada", "acme", "owner", True), ("ada", "umbrella", "member", False),
        ("eve", "umbrella", "owner", True), ("eve", "acme", "member", False), (None, "acme", "member", False),
    ],
)  # fmt: skip
def test_appointment(
    db: Database, world: World, actor: str | None, organization: str, role: str, expected: bool
) -> None:
    with trying(db, world.users[actor] if actor else None) as connection:
        done = change(
            connection, APPOINT, organization=getattr(world, organization), user=world.users["fay"], role=role
        )
        assert (done == 1) is expected


def test_an_owner_cannot_be_replaced_through_a_conflict(db: Database, world: World) -> None:
    with trying(db, world.users["dan"]) as connection, refused("42501"):
        run(
            connection,
            APPOINT + " on conflict (organization_id, user_id) do update set role = excluded.role",
            {"organization": world.acme, "user": world.users["ada"], "role": "member"},
        )


def test_when_somebody_joined_is_not_told(db: Database, world: World) -> None:
    """The organization joined first lends its model and rules to a user's own rows: nobody becomes it afterwards."""
    with trying(db, world.users["ada"]) as connection, refused("42501"):
        run(
            connection,
            "insert into loci.organization_members (organization_id, user_id, joined_at) values (%s, %s, '-infinity')",
            (world.acme, world.users["fay"]),
        )


MANAGED = {
    "teams": (
        "insert into loci.teams (organization_id, name) values (%(organization)s, 'new')",
        "update loci.teams set name = 'x' where team_id = %(team)s",
        "delete from loci.teams where team_id = %(unused)s",
    ),
    "team_members": (
        "insert into loci.team_members (team_id, user_id) values (%(team)s, %(member)s)",
        "delete from loci.team_members where team_id = %(team)s",
    ),
    "projects": (
        "insert into loci.projects (organization_id, name) values (%(organization)s, 'new')",
        "update loci.projects set name = 'x', visibility = 'organization' where project_id = %(private)s",
        "delete from loci.projects where project_id = %(private)s",
    ),
    "project_members": (
        "insert into loci.project_members (project_id, user_id) values (%(private)s, %(member)s)",
        "delete from loci.project_members where project_id = %(private)s",
    ),
    "organizations": ("update loci.organizations set name = 'x' where organization_id = %(organization)s",),
}


@pytest.mark.parametrize(("table", "statement"), [(table, s) for table, all in MANAGED.items() for s in all])
@pytest.mark.parametrize(
    ("actor", "expected"),
    [("ada", True), ("dan", True), ("bob", False), ("cat", False), ("eve", False), ("fay", False), (None, False)],
)
def test_who_manages(
    db: Database, world: World, unused: UUID, actor: str | None, expected: bool, table: str, statement: str
) -> None:
    values = {
        "organization": world.acme, "team": world.team, "private": world.private, "unused": unused,
        "member": world.users["ada"],
    }  # fmt: skip
    with trying(db, world.users[actor] if actor else None) as connection:
        assert (change(connection, statement, **values) > 0) is expected


@pytest.fixture(scope="module")
def unused(db: Database, world: World) -> UUID:
    return db.team(world.acme, "to be dissolved")


def test_managers_reach_into_no_other_organization(db: Database, world: World) -> None:
    hunters = db.team(world.umbrella, "hunters")
    with trying(db, world.users["ada"]) as connection:
        for statement in (
            "insert into loci.teams (organization_id, name) values (%(umbrella)s, 'x')",
            "insert into loci.projects (organization_id, name) values (%(umbrella)s, 'x')",
            "insert into loci.team_members (team_id, user_id) values (%(hunters)s, %(ada)s)",
            "insert into loci.project_members (project_id, user_id) values (%(theirs)s, %(ada)s)",
            "update loci.projects set name = 'x' where project_id = %(theirs)s",
            "update loci.organizations set name = 'x' where organization_id = %(umbrella)s",
            "delete from loci.teams where team_id = %(hunters)s",
        ):
            values = {**world.users, "umbrella": world.umbrella, "theirs": world.theirs, "hunters": hunters}
            assert change(connection, statement, **values) <= 0, statement


def test_managing_a_project_is_not_reading_it(db: Database, world: World) -> None:
    """An owner sees that a private project exists, not what is in it, unless he adds himself for all to see."""
    db.document(world.private, "the hidden word is xyzzy")
    with trying(db, world.users["ada"]) as connection:
        names = run(connection, "select name from loci.projects").fetchall()
        assert {"name": "private"} in names
        assert run(connection, "select from loci.documents where scope_id = %s", (world.private,)).fetchall() == []
        members = [world.private, world.users["ada"]]
        run(connection, "insert into loci.project_members (project_id, user_id) values (%s, %s)", members)
        assert len(run(connection, "select from loci.documents where scope_id = %s", (world.private,)).fetchall()) == 1


def test_members_see_whom_they_share_an_organization_with(db: Database, world: World) -> None:
    def seen(user: str) -> set[str]:
        with trying(db, world.users[user]) as connection:
            ids = {row["user_id"] for row in run(connection, "select user_id from loci.users").fetchall()}
        return {name for name, user_id in world.users.items() if user_id in ids}

    assert seen("fay") == {"fay"}
    assert seen("bob") == {"ada", "bob", "cat", "dan", "eve"}
