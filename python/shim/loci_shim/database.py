"""Statements in the name of the user whose token a request carries."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

Connection = psycopg.AsyncConnection[DictRow]
_WARMING: tuple[LiteralString, ...] = ("select loci.login('a.b.c')", "select loci.extract_json('{}')")
Statement = tuple[LiteralString, Sequence[Any]]


class Database:
    """A pool of one login. Nothing of a user outlives the transaction: loci.login() ends with it."""

    def __init__(self, dsn: str, size: int, wait: float) -> None:
        self._pool = AsyncConnectionPool(
            dsn, connection_class=Connection, min_size=size, max_size=size, open=False, timeout=wait, max_waiting=1000,
            # A backend's first turn loads what the others have: it is done before anybody waits for it, and seldom again.
            configure=_warm, max_lifetime=6 * 3600, num_workers=2,
            # A server that was restarted has left dead connections behind.
            check=AsyncConnectionPool.check_connection, reconnect_timeout=5,
            kwargs={"row_factory": dict_row, "application_name": "loci shim"},
        )  # fmt: skip

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def ready(self) -> None:
        async with self._pool.connection(timeout=2) as connection:
            await connection.execute("select 1")

    async def run(self, token: str, *statements: Statement, user: UUID | None = None) -> tuple[UUID, dict[str, Any]]:
        """One transaction: log in, run the statements. The user, and the first row of the last statement.

        A parameter ... stands for the first value of the row before. user: who it was when the token was checked; the
        token may have expired since, and what was begun with it is still theirs to end.
        """
        try:
            return await self._run(("select loci.login(%s) as who", (token,)), *statements)
        except psycopg.Error as error:
            if user is None or error.sqlstate != "LC113":
                raise
        return await self._run(("select loci.act_as(%s) as who", (user,)), *statements)

    async def _run(self, login: Statement, *statements: Statement) -> tuple[UUID, dict[str, Any]]:
        async with self._pool.connection() as connection:
            found = await (await connection.execute(*login)).fetchone()
            assert found is not None
            user: UUID = found["who"]
            for sql, parameters in statements:
                before = next(iter(found.values()), None)
                given = [before if each is ... else each for each in parameters]
                cursor = await connection.execute(sql, given)
                found = await cursor.fetchone() if cursor.description else found
                assert found is not None
        return user, found


async def _warm(connection: Connection) -> None:
    for sql in _WARMING:
        with contextlib.suppress(psycopg.errors.DatabaseError):
            await connection.execute(sql)
        await connection.rollback()
