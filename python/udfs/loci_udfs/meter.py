"""The meter: what was asked of gateways and what it cost, in a file that no rollback undoes.

A completion is called for within its caller's transaction, and is made, and paid, whatever becomes of that. A row of a
table would go with a rollback, and be out of others' sight until the commit; so limits and budgets that rested on rows
could be passed by. Counts and calls are therefore kept beside the database, in one SQLite file of the data directory
that all backends of a database share. Each look at it takes a moment; no lock of it is held during a call. The drain
moves finished calls into loci_private.calls. There are no texts in it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loci_udfs.db import Db
from loci_udfs.errors import LociError

# Longer than anybody needs who writes here; a cancel waits for it.
_PATIENCE_SECONDS = 0.8
# Of sums of dollars in binary.
_ROUNDING = 1e-9
_SCHEMA = """
create table if not exists counts (name text primary key, minute integer not null, requests integer not null);
create table if not exists spent (
    organization text not null, month text not null, cost_usd real not null, primary key (organization, month)
);
create table if not exists calls (
    call_id text primary key, gateway text not null, expires real, estimate real, record text not null
);
create table if not exists priceless (model text primary key);
"""


class LimitError(LociError):
    """A call was not made. retry_after: seconds until it may be; None when time alone does not help.

    shared: others have used up what is the gateway's; else it is the caller's own limit.
    """

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        sqlstate: str,
        retry_after: float | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint, sqlstate=sqlstate)
        self.retry_after = retry_after
        self.shared = shared


@dataclass(frozen=True, slots=True)
class Limits:
    """budget_usd: for a month, None: no limit. spent_usd: in this month as the ledger knows it; the meter may know more."""

    requests_per_minute: int
    max_in_flight: int
    user_requests_per_minute: int
    organization_requests_per_minute: int
    budget_usd: float | None = None
    spent_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class _Rate:
    """Requests a minute that somebody has."""

    name: str
    most: int
    whose: str
    sqlstate: str

    def reached(self, wait: float) -> LimitError:
        return LimitError(
            f"{self.whose} limit of requests is reached",
            detail=f"It is {self.most} a minute. Try again in {max(round(wait), 1)} seconds.",
            hint="loci.submit() waits its turn.",
            sqlstate=self.sqlstate,
            retry_after=wait,
            shared=self.name.startswith("gateway "),
        )


class Meter:
    """path: a file that is made where there is none. Raises LC515 where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        try:
            # What was written survives the end of a process; at the worst a power cut takes the last moments.
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma secure_delete = on")
            connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise _unusable(error) from None

    # --- requests -------------------------------------------------------------------------------------------------

    def take(self, gateway: str, wanted: int, most: int, now: float) -> int:
        """How many of the wanted requests a gateway's limit still allows in this minute; they count as made."""
        with self._writing() as connection:
            granted = max(min(wanted, most - _requests(connection, f"gateway {gateway}", now)), 0)
            _count(connection, f"gateway {gateway}", now, granted)
            return granted

    # --- calls ----------------------------------------------------------------------------------------------------

    def begin(
        self,
        record: Mapping[str, Any],
        limits: Limits,
        *,
        now: float,
        seconds: float,
        estimate: float | None,
        waits: float | None = None,
    ) -> None:
        """A call is about to be made: it counts from now on. Nothing counts where a LimitError is raised.

        record: what the ledger is to know (call_id, organization_id, user_id, gateway, model, ...). now: seconds since
        1970. seconds: how long the call may take; if nobody has finished it by then, it is lost. estimate: USD that it
        may cost, None where its model has no price. waits: the call is another process's, which may say later than
        this how it ended; until then it is not lost, but no longer counts among those under way.
        """
        organization, user, gateway = record["organization_id"], record["user_id"], record["gateway"]
        with self._writing() as connection:
            if organization is not None and limits.budget_usd is not None:
                self._check_budget(connection, record["model"], organization, limits, now, estimate)
            rates = [
                _Rate(f"user {user}", limits.user_requests_per_minute, "the user's", sqlstate="LC507"),
                _Rate(
                    f"organization {organization}",
                    limits.organization_requests_per_minute,
                    "the organization's",
                    sqlstate="LC508",
                ),
                _Rate(f"gateway {gateway}", limits.requests_per_minute, "the gateway's", sqlstate="LC509"),
            ]
            rates = [
                rate for rate, whose in zip(rates, (user, organization, gateway), strict=True) if whose is not None
            ]
            for rate in rates:
                if _requests(connection, rate.name, now) >= rate.most:
                    raise rate.reached(60 - now % 60)
            (in_flight,) = connection.execute(
                "select count(*) from calls where gateway = ?1 and expires > ?2 "
                "and coalesce(json_extract(record, '$.busy_until'), expires) > ?2",
                (gateway, now),
            ).fetchone()
            if in_flight >= limits.max_in_flight:
                raise LimitError(
                    "too many calls are under way",
                    detail=f"The limit is {limits.max_in_flight} at a time. Try again in 1 second.",
                    hint="loci.submit() waits its turn.",
                    sqlstate="LC510",
                    retry_after=1.0,
                    shared=True,
                )
            for rate in rates:
                _count(connection, rate.name, now, 1)
            _spend(connection, record, now, estimate or 0.0, limits.spent_usd)
            written = {**record, "called_at": now, "busy_until": now + seconds}
            connection.execute(
                "insert into calls (call_id, gateway, expires, estimate, record) values (?, ?, ?, ?, ?)",
                (record["call_id"], gateway, now + max(seconds, waits or 0), estimate, json.dumps(written)),
            )

    def _check_budget(
        self,
        connection: sqlite3.Connection,
        model: str,
        organization: str,
        limits: Limits,
        now: float,
        estimate: float | None,
    ) -> None:
        budget = limits.budget_usd or 0.0
        found = connection.execute(
            "select cost_usd from spent where organization = ? and month = ?", (organization, _month(now))
        ).fetchone()
        spent = max(found[0] if found else 0.0, limits.spent_usd)
        if spent >= budget or spent + (estimate or 0.0) > budget + _ROUNDING:
            raise LimitError(
                "the organization's budget is used up",
                detail=f"{spent:.6g} of {budget:.6g} USD are spent this month"
                + (f"; this call may cost {estimate:.6g} USD." if estimate else "."),
                hint="As loci_admin: raise budget_usd_month in loci.organizations, or wait for the next month.",
                sqlstate="LC505",
            )
        if estimate is None and connection.execute("select 1 from priceless where model = ?", (model,)).fetchone():
            raise LimitError(
                "what a model costs is not known",
                detail=f'The gateway does not say what "{model}" costs, and the organization has a budget.',
                hint="As loci_admin: insert into loci.model_prices (model, input_usd, output_usd) values (...).",
                sqlstate="LC506",
            )

    def finish(self, call_id: str, *, cost_usd: float | None, **outcome: Any) -> None:
        """A call has ended; the first time counts. cost_usd: None where nobody knows; then what was estimated counts.

        outcome: for the ledger.
        """
        with self._writing() as connection:
            found = connection.execute(
                "select record, estimate from calls where call_id = ? and expires is not null", (call_id,)
            ).fetchone()
            if found is None:
                return
            record, estimate = json.loads(found[0]), found[1]
            record.update(outcome, cost_usd=cost_usd, cost_estimated=False)
            if cost_usd is None:
                record.update(cost_usd=estimate, cost_estimated=estimate is not None)
                if record["status"] == "ok" and estimate is None:
                    connection.execute("insert or ignore into priceless (model) values (?)", (record["model"],))
            else:
                _spend(connection, record, record["called_at"], cost_usd - (estimate or 0.0), 0.0)
                if record["status"] == "ok":
                    connection.execute("delete from priceless where model = ?", (record["model"],))
            connection.execute(
                "update calls set expires = null, record = ? where call_id = ?", (json.dumps(record), call_id)
            )

    def finished(self, now: float) -> list[dict[str, Any]]:
        """Calls that the ledger does not have yet. Those that were never finished are lost: their process has ended."""
        records = []
        for call in self._calls("expires is null or expires <= ?", now):
            records.append(call if "status" in call else _ended(call, "lost"))
        return records

    def under_way(self, now: float) -> list[dict[str, Any]]:
        return [_ended(call, "running") for call in self._calls("expires > ?", now)]

    def _calls(self, condition: str, now: float) -> list[dict[str, Any]]:
        try:
            rows = self._connection.execute(f"select record, estimate from calls where {condition}", (now,)).fetchall()
        except sqlite3.Error as error:
            raise _unusable(error) from None
        return [{"estimate": estimate, **json.loads(record)} for record, estimate in rows]

    def forget(self, call_ids: list[str], now: float) -> None:
        """The ledger has these now. What is over goes too."""
        with self._writing() as connection:
            connection.executemany("delete from calls where call_id = ?", [(call_id,) for call_id in call_ids])
            connection.execute("delete from counts where minute < ?", (int(now // 60),))
            connection.execute("delete from spent where month < ?", (_month(now),))

    def forget_user(self, user_id: str) -> int:
        """Figures stay, whose they were does not, in no byte of the file. How many calls that concerned."""
        count = 0
        with self._writing() as connection:
            for call_id, text in connection.execute("select call_id, record from calls").fetchall():
                record = json.loads(text)
                if record["user_id"] == user_id:
                    record["user_id"] = None
                    connection.execute("update calls set record = ? where call_id = ?", (json.dumps(record), call_id))
                    count += 1
            connection.execute("delete from counts where name = ?", (f"user {user_id}",))
        try:
            # Nobody waits for a reader: what is in the log then goes when it begins anew.
            self._connection.execute("pragma wal_checkpoint(truncate)")
        except sqlite3.Error as error:
            raise _unusable(error) from None
        return count


def _ended(call: dict[str, Any], status: str) -> dict[str, Any]:
    return {
        **call,
        "status": status,
        "cost_usd": call["estimate"],
        "cost_estimated": call["estimate"] is not None,
    }


def _requests(connection: sqlite3.Connection, name: str, now: float) -> int:
    found = connection.execute(
        "select requests from counts where name = ? and minute = ?", (name, int(now // 60))
    ).fetchone()
    return int(found[0]) if found else 0


def _count(connection: sqlite3.Connection, name: str, now: float, requests: int) -> None:
    connection.execute(
        "insert into counts (name, minute, requests) values (?1, ?2, ?3) on conflict (name) do update set "
        "requests = case when minute = excluded.minute then requests else 0 end + excluded.requests, minute = excluded.minute",
        (name, int(now // 60), requests),
    )


def _spend(connection: sqlite3.Connection, record: Mapping[str, Any], now: float, usd: float, known: float) -> None:
    """known: what the ledger already has of this month, for the first call that the meter sees in it."""
    if record["organization_id"] is not None:
        connection.execute(
            "insert into spent (organization, month, cost_usd) values (?1, ?2, ?3 + ?4) "
            "on conflict (organization, month) do update set cost_usd = max(cost_usd, ?3) + ?4",
            (record["organization_id"], _month(now), known, usd),
        )


def _month(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


def _unusable(error: Exception) -> LociError:
    return LociError(
        "what is asked of gateways cannot be counted",
        detail=f"The meter, a file below the data directory, says: {error}.",
        hint="Look at the disk, and at the rights of the directory loci in the data directory.",
        sqlstate="LC515",
    )


_meters: dict[int, Meter] = {}


def meter_of(db: Db) -> Meter:
    """The meter of this database. A file that is damaged is put aside, and a new one begun."""
    oid = int(db.query("select oid from pg_catalog.pg_database where datname = current_database()")[0]["oid"])
    if oid not in _meters:
        # A server process works in the data directory.
        path = Path(os.getcwd()) / "loci" / f"{oid}.meter"
        try:
            _meters[oid] = _retried(lambda: Meter(path), path)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(error) from None
    return _meters[oid]


def _retried(make: Callable[[], Meter], path: Path) -> Meter:
    try:
        return make()
    except sqlite3.OperationalError:
        # Busy, or no space: nothing is wrong with it.
        raise
    except sqlite3.DatabaseError:
        for suffix in ("", "-wal", "-shm"):
            file = Path(f"{path}{suffix}")
            if file.exists():
                file.replace(f"{path}{suffix}.damaged")
        return make()
