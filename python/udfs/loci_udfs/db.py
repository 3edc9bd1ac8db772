"""The database as the rest of the package sees it: `Db`, and `PlpyDb`, which is plpy inside the server.

Outside the server anything with the same methods will do: tests pass a fake or a psycopg connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

from loci_udfs.errors import LociError

P = ParamSpec("P")
T = TypeVar("T")
Row = dict[str, Any]

# A cancelled statement, a terminated connection, a server that shuts down: never handled, always passed on.
_ENDINGS = frozenset({"57014", "57P01", "57P02", "57P03"})


class DbError(Exception):
    """A statement failed. sqlstate: five characters; message, detail, hint: as the server put them."""

    def __init__(self, sqlstate: str, message: str, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint


class Db(Protocol):
    """What the package needs of a database session."""

    def query(self, sql: str, *parameters: tuple[str, Any]) -> list[Row]:
        """Run one statement with parameters ($1, $2, ...), each a pair of SQL type and value; rows by column name.

        Raises DbError; an ending (cancel, shutdown) passes through as it is.
        """
        ...

    def commit(self) -> None:
        """End the transaction. Raises LociError LC250 where the caller holds a transaction block."""
        ...

    def rollback(self) -> None:
        """Undo the transaction and begin a new one."""
        ...

    def checkpoint(self) -> None:
        """Take notice of a pending cancel and leave no snapshot behind; cheap enough to call five times a second."""
        ...

    def fail(self, error: LociError | DbError) -> NoReturn:
        """End the call with this error."""
        ...


def _told(error: Any) -> tuple[str, str | None, str | None]:
    """SQLSTATE, DETAIL and HINT of an SPIError. Only errors of PostgreSQL's own list have the first as an attribute."""
    packed, detail, hint = (*(getattr(error, "spidata", None) or ()), None, None, None)[:3]
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is None:
        # Five characters of six bits each.
        sqlstate = "XX000" if packed is None else "".join(chr((packed >> 6 * i & 0x3F) + ord("0")) for i in range(5))
    return sqlstate, detail or getattr(error, "detail", None), hint or getattr(error, "hint", None)


# Statements are prepared once a session: their texts are few. The server checks rights and plans anew where it has to.
_PLANS: WeakKeyDictionary[Any, dict[tuple[str, tuple[str, ...]], Any]] = WeakKeyDictionary()


class PlpyDb:
    """`Db` over the plpy module. in_procedure: transactions are ours to end (a procedure called by CALL)."""

    def __init__(self, plpy: Any, *, in_procedure: bool = False) -> None:
        self._plpy = plpy
        self._in_procedure = in_procedure
        self._plans = _PLANS.setdefault(plpy, {})

    def query(self, sql: str, *parameters: tuple[str, Any]) -> list[Row]:
        types = tuple(kind for kind, _ in parameters)
        try:
            plan = self._plans.get((sql, types))
            if plan is None:
                plan = self._plans[sql, types] = self._plpy.prepare(sql, list(types))
            result = self._plpy.execute(plan, [value for _, value in parameters])
            return list(result) if result.nrows() and result.colnames() else []
        except self._plpy.SPIError as error:
            sqlstate, detail, hint = _told(error)
            if sqlstate in _ENDINGS:
                raise
            raise DbError(sqlstate, str(error), detail, hint) from None

    def commit(self) -> None:
        try:
            self._plpy.commit()
        except self._plpy.SPIError as error:
            if error.sqlstate == "2D000":
                raise LociError(
                    "this needs a transaction of its own",
                    hint="CALL it as a single statement, outside BEGIN and outside any function.",
                    sqlstate="LC250",
                ) from None
            raise

    def rollback(self) -> None:
        self._plpy.rollback()

    def checkpoint(self) -> None:
        self._plpy.execute("select 1")
        if self._in_procedure:
            self._plpy.commit()

    def fail(self, error: LociError | DbError) -> NoReturn:
        given = {name: value for name in ("detail", "hint") if (value := getattr(error, name)) is not None}
        self._plpy.error(error.message, sqlstate=error.sqlstate, **given)
        raise AssertionError("plpy.error does not return")


@contextmanager
def errors_reported(db: Db) -> Iterator[None]:
    """Turn the package's own exceptions into SQL errors; those of a statement keep the code the server gave them."""
    try:
        yield
    except (LociError, DbError) as error:
        db.fail(error)


def entry(function: Callable[P, T]) -> Callable[P, T]:
    """Mark a function that PL/Python calls with plpy as its first argument; the function gets a `Db` instead."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        plpy, *rest = args
        db = PlpyDb(plpy)
        with errors_reported(db):
            return function(db, *rest, **kwargs)  # type: ignore[arg-type]

    return call
