"""Transactions in the name of one user."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

Connection = psycopg.AsyncConnection[DictRow]
Statement = tuple[LiteralString, Sequence[Any]]
_WARMING: tuple[LiteralString, ...] = ("select loci.warm()", "select loci.login('a.b.c')")


class Database:
    """A pool of one login. Nothing of a user outlives the transaction: who it is ends with it."""

    def __init__(self, dsn: str, least: int, most: int, wait: float) -> None:
        """least, most: connections. wait: seconds for one."""
        self._pool = AsyncConnectionPool(
            dsn, connection_class=Connection, min_size=least, max_size=most, open=False, timeout=wait, max_waiting=1000,
            # A backend's first turn loads what the others have: it is done before anybody waits for it, and seldom again.
            configure=_warm, max_lifetime=6 * 3600, num_workers=2,
            # A server that was restarted has left dead connections behind.
            check=AsyncConnectionPool.check_connection, reconnect_timeout=5,
            kwargs={"row_factory": dict_row, "application_name": "loci shim"},
        )  # fmt: skip
        self.open, self.close = self._pool.open, self._pool.close

    async def ready(self) -> None:
        async with self._pool.connection(timeout=2) as connection:
            await connection.execute("select 1")

    async def run(self, token: str, *statements: Statement) -> dict[str, Any]:
        """One transaction in the name of the token's user. The first row of the last statement.

        A parameter ... stands for the first value that the statement before returned, which is waited for.
        """
        return await self._run(("select loci.login(%s)", (token,)), *statements)

    async def end(self, token: str, user: UUID, statement: Statement) -> dict[str, Any]:
        """The same, for what was begun as this user: the token may have expired since, or the keys have changed."""
        try:
            return await self.run(token, statement)
        except psycopg.Error as error:
            if error.sqlstate not in ("LC112", "LC113"):
                raise
        return await self._run(("select loci.act_as(%s)", (user,)), statement)

    async def _run(self, who: Statement, *statements: Statement) -> dict[str, Any]:
        # Where one statement fails, the server skips those after it.
        async with self._pool.connection() as connection, connection.pipeline():
            cursor = await connection.execute(*who)
            for sql, parameters in statements:
                if ... in parameters:
                    before = next(iter(_row(await cursor.fetchone()).values()))
                    parameters = [before if each is ... else each for each in parameters]
                cursor = await connection.execute(sql, parameters)
            await connection.commit()
        return _row(await cursor.fetchone())


def _row(row: DictRow | None) -> DictRow:
    assert row is not None
    return row


async def _warm(connection: Connection) -> None:
    for sql in _WARMING:
        with contextlib.suppress(psycopg.errors.DatabaseError):
            await connection.execute(sql)
        await connection.rollback()
