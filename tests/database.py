"""What tests do with a database: connect as this or that role, make people and places, drain."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).resolve().parent.parent
Connection = psycopg.Connection[dict[str, Any]]


def connect(dsn: str, **kwargs: Any) -> Connection:
    return psycopg.connect(dsn, autocommit=True, row_factory=dict_row, **kwargs)


def migrate(dsn: str, revision: str = "head") -> None:
    """alembic upgrade, as an operator runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", revision],
        cwd=ROOT,
        env={**environ, "LOCI_DSN": dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 60) -> Any:
    """Wait for a state that can be observed; its value."""
    until = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.02)
    return value


@dataclass
class People:
    """A small world: two organizations; ada and bob in the first, eve in the second."""

    acme: UUID
    umbrella: UUID
    ada: UUID
    bob: UUID
    eve: UUID


class Database:
    """One database with Loci in it. admin: a superuser's connection in autocommit mode."""

    def __init__(self, name: str, dsn_of: Callable[[str], str], *, app_password: str = "app") -> None:
        self.name = name
        self.dsn = dsn_of(name)
        # Roles belong to the whole server and go with their database; Loci's own begin with loci_.
        self._prefix = "test" if name == "loci" else name
        self._password = app_password
        self.admin = connect(self.dsn)

    def close(self) -> None:
        self.admin.close()

    # --- statements as superuser -------------------------------------------------------------------------------

    def execute(self, sql: str, *parameters: Any) -> None:
        self.admin.execute(cast(LiteralString, sql), parameters or None)

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.admin.execute(cast(LiteralString, sql), parameters or None).fetchall()

    def value(self, sql: str, *parameters: Any) -> Any:
        row = self.admin.execute(cast(LiteralString, sql), parameters or None).fetchone()
        assert row is not None
        return next(iter(row.values()))

    # --- as others ----------------------------------------------------------------------------------------------

    def connect(self, role: str | None = None) -> Connection:
        """A new connection; role: a login role made by login_role(), else the superuser."""
        if role is None:
            return connect(self.dsn)
        return connect(self.dsn_as(role))

    def dsn_as(self, role: str) -> str:
        """URI of a login role, over TCP with its password."""
        info = self.admin.info
        host = info.host if not info.host.startswith("/") else "127.0.0.1"
        return f"postgresql://{role}:{self._password}@{host}:{info.port}/{self.name}"

    def pg_dump(self, role: str | None = None) -> list[str]:
        """The command: that of the server's own version; in its container, where it runs in one."""
        container = json.loads(environ.get("LOCI_TEST_DOCKER", "{}")).get("container")
        if container:
            dsn = f"postgresql://{role}:{self._password}@127.0.0.1/{self.name}" if role else self.name
            return ["docker", "exec", "--user", "postgres", container, "pg_dump", dsn]
        programs = self.value("select setting from pg_config() where name = 'BINDIR'")
        return [f"{programs}/pg_dump", self.dsn_as(role) if role else self.dsn]

    def login_role(self, name: str, *member_of: str) -> str:
        """A login role of the cluster, made anew; its name starts with the database's."""
        role = f"{self._prefix}_{name}"
        self.execute(f'drop role if exists "{role}"')
        self.execute(f"create role \"{role}\" login password '{self._password}'")
        for group in member_of:
            self.execute(f'grant {group} to "{role}"')
        return role

    @contextmanager
    def acting(self, user: UUID | None, role: str | None = None) -> Iterator[Connection]:
        """A transaction of an application login that acts for this user."""
        with self.connect(role or self.app_role()) as connection, connection.transaction():
            if user is not None:
                connection.execute("select loci.act_as(%s)", (user,))
            yield connection

    def app_role(self) -> str:
        role = f"{self._prefix}_app"
        if not self.rows("select from pg_roles where rolname = %s", role):
            self.login_role("app", "loci_app")
        return role

    # --- the world ----------------------------------------------------------------------------------------------

    def user(self, email: str) -> UUID:
        return cast(UUID, self.value("insert into loci.users (email) values (%s) returning user_id", email))

    def organization(self, name: str, *members: UUID, role: str = "member") -> UUID:
        organization = cast(
            UUID, self.value("insert into loci.organizations (name) values (%s) returning organization_id", name)
        )
        for member in members:
            self.execute(
                "insert into loci.organization_members (organization_id, user_id, role) values (%s, %s, %s)",
                organization,
                member,
                role,
            )
        return organization

    def project(
        self, organization: UUID, name: str, visibility: str = "organization", team: UUID | None = None
    ) -> UUID:
        return cast(
            UUID,
            self.value(
                "insert into loci.projects (organization_id, name, visibility, team_id) values (%s, %s, %s, %s) "
                "returning project_id",
                organization,
                name,
                visibility,
                team,
            ),
        )

    def team(self, organization: UUID, name: str, *members: UUID) -> UUID:
        team = cast(
            UUID,
            self.value(
                "insert into loci.teams (organization_id, name) values (%s, %s) returning team_id", organization, name
            ),
        )
        for member in members:
            self.execute("insert into loci.team_members (team_id, user_id) values (%s, %s)", team, member)
        return team

    def document(self, scope: UUID, content: str | None, **columns: Any) -> UUID:
        columns = {"scope_id": scope, "content": content, **columns}
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        return cast(
            UUID,
            self.value(
                f"insert into loci.documents ({names}) values ({marks}) returning document_id", *columns.values()
            ),
        )

    def people(self) -> People:
        ada, bob, eve = (
            self.user(f"{name}.{self.value('select gen_random_uuid()')}@example.org") for name in ("ada", "bob", "eve")
        )
        return People(
            acme=self.organization("Acme", ada, bob),
            umbrella=self.organization("Umbrella", eve),
            ada=ada,
            bob=bob,
            eve=eve,
        )

    # --- the pipeline -------------------------------------------------------------------------------------------

    def drain(self, max_seconds: int = 60) -> None:
        self.execute("call loci.drain(%s)", max_seconds)

    def waiting(self) -> int:
        """Work in the queues, leased or not."""
        return cast(
            int,
            self.value(
                "select (select count(*) from loci_private.row_queue) "
                "+ (select coalesce(sum(cardinality(keys)), 0) from loci_private.row_bulk) "
                "+ (select count(*) from loci_private.embed_queue)"
            ),
        )

    def search(self, user: UUID | None, query: str, k: int = 5, **arguments: Any) -> list[dict[str, Any]]:
        """loci.search() by an application acting for a user."""
        given = "".join(f", {name} => %s" for name in arguments)
        with self.acting(user) as connection:
            return connection.execute(
                cast(LiteralString, f"select * from loci.search(%s, k => %s{given})"), (query, k, *arguments.values())
            ).fetchall()

    def found(self, user: UUID | None, query: str, k: int = 100, **arguments: Any) -> set[str]:
        """Contents that a search returns."""
        return {row["content"] for row in self.search(user, query, k, **arguments)}

    def forget_requests(self) -> None:
        """As if nothing had been asked of any gateway, and nothing been spent."""
        self.execute(
            """
            do language plpython3u $$
            from loci_udfs.db import PlpyDb
            from loci_udfs.meter import meter_of
            for table in ("counts", "spent", "calls", "priceless"):
                meter_of(PlpyDb(plpy))._connection.execute(f"delete from {table}")
            $$
            """
        )

    def set_clock(self, timestamp: str | None) -> None:
        """Loci's clock in this database; None: the real one."""
        body = "select pg_catalog.clock_timestamp()" if timestamp is None else f"select timestamptz '{timestamp}'"
        self.execute(
            f"create or replace function loci_private.now() returns timestamptz language sql volatile parallel restricted as $${body}$$"
        )


def embeddings_table(database: Database) -> str:
    """The vectors of the default model."""
    return cast(
        str,
        database.value(
            "select 'loci_private.' || loci_private.model_table(active_model) "
            "from loci_private.model_assignments where organization_id is null"
        ),
    )


def contents(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["content"] for row in rows]
