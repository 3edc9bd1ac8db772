"""A world with something to hide: what the tests of this directory have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database


@dataclass
class World:
    """Acme: ada owns it, bob is in the team, cat in the private project, dan just a member. eve is of another house."""

    users: dict[str, UUID]
    acme: UUID
    umbrella: UUID
    team: UUID
    everybody: UUID
    teams: UUID
    private: UUID
    theirs: UUID

    def scopes(self, *names: str) -> set[UUID]:
        return {self.users.get(name) or getattr(self, name) for name in names}


def make_world(db: Database) -> World:
    suffix = db.value("select gen_random_uuid()")
    users = {name: db.user(f"{name}.{suffix}@example.org") for name in ("ada", "bob", "cat", "dan", "eve", "fay")}
    acme = db.organization("Acme", *(users[name] for name in ("ada", "bob", "cat", "dan")))
    db.execute(
        "update loci.organization_members set role = 'owner' where user_id = %s and organization_id = %s",
        users["ada"],
        acme,
    )
    umbrella = db.organization("Umbrella", users["eve"], role="owner")
    team = db.team(acme, "builders", users["bob"])
    world = World(
        users=users,
        acme=acme,
        umbrella=umbrella,
        team=team,
        everybody=db.project(acme, "open"),
        teams=db.project(acme, "of the team", "team", team),
        private=db.project(acme, "private", "private"),
        theirs=db.project(umbrella, "open"),
    )
    db.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", world.private, users["cat"])
    return world


@contextmanager
def refused(*codes: str) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
    """The statement fails with one of these codes."""
    with pytest.raises(psycopg.Error) as caught:
        yield caught
    assert caught.value.sqlstate in codes, caught.value


def run(connection: Connection, sql: str, parameters: Any = None) -> psycopg.Cursor[dict[str, Any]]:
    return connection.execute(sql, parameters)  # type: ignore[call-overload,no-any-return]
