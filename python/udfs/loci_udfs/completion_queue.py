"""The drain's part in completions: submitted requests are answered, and metered calls entered in the ledger.

The laws of the drain hold here as well: nothing is open in the database while a model is asked; what fails because of
the gateway costs a request no attempt; what fails because of the request holds up no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from loci_udfs.completions import (
    Completion,
    NoAnswer,
    error_as_json,
    keep_texts,
    read_config,
    read_request,
    server_regex,
)
from loci_udfs.db import Db, DbError, Row
from loci_udfs.errors import LociError
from loci_udfs.gateway import GatewayError, gather, run
from loci_udfs.meter import LimitError, meter_of

QUEUE = "completion_queue"
# Fails the same way whenever it is tried.
_PERMANENT = frozenset({"LC501", "LC502", "LC504", "LC512", "LC516", "LC517", "LC518"})
# A budget is raised by somebody, or the next month's begins: it is looked at this often.
_BUDGET_SECONDS = 3600.0
# Nothing is wrong with the request: a model, a key or an address has to be set first.
_SET_UP_SECONDS = 300.0
_SET_UP = frozenset({"LC120", "LC121", "LC400", "LC404", "LC405", "LC408", "LC500", "LC506", "LC515"})
# A request that any model in order answers, and at next to no cost.
_CONTROL = {"messages": [{"role": "user", "content": "Hello"}], "purpose": "control"}
_CONTROL_TOKENS = 16

Outcome = dict[str, Any] | LociError | None


class Leases(Protocol):
    """How a drain gets work, and what it does with what it has got."""

    def claim(self, sql: str, *parameters: tuple[str, Any]) -> list[Row] | None: ...

    def put_back(self, queue: str, claims: list[Row]) -> None: ...

    def fail(self, queue: str, claims: list[Row], error: LociError | DbError, *, permanent: bool = False) -> None: ...

    def failed(self, queue: str, claims: list[Row], error: DbError) -> None: ...

    def postpone(self, queue: str, claims: list[Row], error: LociError | DbError, seconds: float) -> None: ...


class CompletionQueue:
    """One drain's view of it. late: whether the drain's time is up."""

    def __init__(self, db: Db, lease: str, leases: Leases, late: Callable[[], bool]) -> None:
        self._db = db
        self._lease = lease
        self._leases = leases
        self._late = late

    def answer_batch(self) -> bool:
        """Ask for as many answers as may be under way at once. Whether there was anything to do."""
        claims = self._leases.claim("select * from loci_private.claim_requests($1)", ("uuid", self._lease))
        if claims is None:
            return True
        self._db.commit()
        if not claims:
            return False
        batch = _Batch()
        for claim in claims:
            try:
                batch.completions[claim["queue_id"]] = self._completion(claim)
            except LociError as error:
                batch.outcomes[claim["queue_id"]] = error
        self._db.commit()
        try:
            run(lambda: batch.ask(self._late), self._db.checkpoint)
        finally:
            # A cancel in the middle does not lose the answers that have come.
            self._db.rollback()
            self._settle(claims, batch)
        return True

    def _completion(self, claim: Row) -> Completion:
        if not claim["member"]:
            raise LociError(
                "the user does not belong to this organization",
                detail="The membership ended after the request was submitted.",
                sqlstate="LC504",
            )
        return Completion(
            read_request(json.loads(claim["request"])),
            read_config(json.loads(claim["config"])),
            meter_of(self._db),
            self._db.checkpoint,
            server_regex(self._db),
        )

    def _settle(self, claims: list[Row], batch: _Batch) -> None:
        for claim in claims:
            completion = batch.completions.get(claim["queue_id"])
            if completion is not None:
                keep_texts(self._db, completion.config, completion.texts)
            # Without an outcome: interrupted. The drain gives it back.
            if claim["queue_id"] in batch.outcomes:
                self._settle_one(claim, batch.outcomes[claim["queue_id"]], batch)
        if batch.serves and batch.overloaded is None:
            self._db.query("select loci_private.recovered(null, $1)", ("text", claims[0]["gateway"]))
        self._db.commit()

    def _settle_one(self, claim: Row, outcome: Outcome, batch: _Batch) -> None:
        leases = self._leases
        if outcome is None:
            leases.put_back(QUEUE, [claim])
        elif isinstance(outcome, dict):
            try:
                self._db.query(
                    "select loci_private.finish_request($1, $2, $3)",
                    ("uuid", self._lease),
                    ("int8", claim["queue_id"]),
                    ("jsonb", json.dumps(outcome)),
                )
            except DbError as error:
                leases.failed(QUEUE, [claim], error)
        elif isinstance(outcome, LimitError) and outcome.shared:
            leases.put_back(QUEUE, [claim])
            if outcome.sqlstate == "LC509":
                self._cool_down(claim, None, None)
            else:
                self._cool_down(claim, outcome.retry_after, None)
        elif isinstance(outcome, LimitError):
            leases.postpone(QUEUE, [claim], outcome, outcome.retry_after or _BUDGET_SECONDS)
        elif isinstance(outcome, GatewayError) and outcome.kind == "overloaded":
            leases.put_back(QUEUE, [claim])
            if outcome is batch.overloaded:
                self._cool_down(claim, outcome.retry_after, outcome)
        elif isinstance(outcome, GatewayError) and outcome.kind == "outage" and not batch.serves:
            health = batch.health
            if health is None:
                health = batch.health = self._cool_down(claim, outcome.retry_after, outcome)
            # Others go first: it may be this one's model alone that is out of order.
            leases.postpone(QUEUE, [claim], outcome, 2 * health["wait"])
        elif outcome.sqlstate in _SET_UP:
            leases.postpone(QUEUE, [claim], outcome, _SET_UP_SECONDS)
        else:
            leases.fail(QUEUE, [claim], outcome, permanent=outcome.sqlstate in _PERMANENT)

    def _cool_down(self, claim: Row, seconds: float | None, error: LociError | None) -> Row:
        return self._db.query(
            "select * from loci_private.cool_down(null, $1, $2, $3)",
            ("float8", seconds),
            ("jsonb", json.dumps(error_as_json(error)) if error else None),
            ("text", claim["gateway"]),
        )[0]


class _Batch:
    """Requests that are asked side by side, by queue_id. outcomes: None for what there was no time for.

    serves: whether the gateway has answered anything. A request that it fails at while it answers others has itself to
    blame; so where all fail, the gateway is asked for something harmless.
    """

    def __init__(self) -> None:
        self.completions: dict[int, Completion] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.serves = False
        self.overloaded: GatewayError | None = None
        self.health: Row | None = None

    async def ask(self, late: Callable[[], bool]) -> None:
        await gather(self._ask(queue_id, late) for queue_id in self.completions)
        self.serves = any(isinstance(outcome, dict) for outcome in self.outcomes.values())
        failed = [n for n, error in self.outcomes.items() if isinstance(error, GatewayError) and error.kind == "outage"]
        if failed and not self.serves and self.overloaded is None and not late():
            self.serves = await self._control(self.completions[failed[0]])

    async def _ask(self, queue_id: int, late: Callable[[], bool]) -> None:
        try:
            self.outcomes[queue_id] = None if late() else await self.completions[queue_id].main()
        except LociError as error:
            self.outcomes[queue_id] = error
            if isinstance(error, GatewayError) and error.kind == "overloaded" and self.overloaded is None:
                self.overloaded = error

    async def _control(self, failed: Completion) -> bool:
        try:
            await failed.instead(read_request(_CONTROL), _CONTROL_TOKENS).main()
        except NoAnswer:
            return True
        except LociError:
            return False
        return True
