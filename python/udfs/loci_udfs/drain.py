"""loci.drain(): split changed rows into chunks, embed chunks, answer requests, until nothing is due or time is up.

The laws that shape it: nothing is open in the database while text is split or a model computes; what is written is
checked against the version that was claimed; a bad row never holds up its neighbours; a cancel works at once and loses
nothing, because all work stays in its queue until it is written.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from loci_udfs.chunking import iter_split_document
from loci_udfs.completion_queue import CompletionQueue
from loci_udfs.completions import write_ledger
from loci_udfs.db import Db, DbError, PlpyDb, Row, errors_reported
from loci_udfs.embedding import embed_each, model_config
from loci_udfs.errors import LociError
from loci_udfs.extract import Document, to_document
from loci_udfs.providers.base import ModelConfig, format_vector
from loci_udfs.redact import Redaction, Span
from loci_udfs.tokens import Tokenizer, get_tokenizer

# Tokens that a passage needs besides its text: prefix, start, end, and the blank line after its context.
_MARGIN = 12
# Rows are written together until this many seconds have passed: few commits, short locks.
_WRITE_SECONDS = 0.25
# An application may hold what a drain needs for as long as it likes: the drain turns to other work.
_LOCK_TIMEOUT = "1s"
# Somebody was in the way (lock not available, deadlock, serialization failure): nothing is wrong with the row.
_BUSY = frozenset({"55P03", "40P01", "40001"})
_BUSY_SECONDS = 5.0
# Nothing is wrong with the text either: the model is not to be had.
_MODEL_SECONDS = 60.0
# What a tokenizer that cannot be loaded says.
_NO_TOKENIZER = frozenset({"LC220", "LC238"})
# The same text fails the same way whenever it is sent.
_PERMANENT = frozenset({"LC230", "LC235", "LC406"})
# A text that was sent alone and found its gateway failing may be the reason: others go first for so long.
_SUSPECT_SECONDS = 600.0
# While a gateway's limit is waited for, the queues are looked at this often.
_LOOK_SECONDS = 5.0
_HEARTBEAT_SECONDS = 0.2


def run(plpy: Any, max_seconds: int | None) -> None:
    """Entry of the procedure. Runs with the rights of loci_worker, whoever called it."""
    db = PlpyDb(plpy, in_procedure=True)
    with errors_reported(db):
        if max_seconds is not None and max_seconds <= 0:
            raise LociError(
                f"a drain cannot last {max_seconds} seconds", hint="Pass a positive number.", sqlstate="LC251"
            )
        before = db.query(
            "select current_setting('role') as role, current_setting('lock_timeout') as lock_timeout, "
            "current_setting('default_transaction_isolation') as default_transaction_isolation"
        )[0]
        try:
            db.query("set role loci_worker")
        except DbError:
            raise LociError(
                "only members of loci_worker or loci_admin may drain",
                hint="grant loci_worker to this role, or let pg_cron run it.",
                sqlstate="LC252",
            ) from None
        drain = Drain(db, max_seconds)
        db.commit()
        try:
            _configure(db, lock_timeout=_LOCK_TIMEOUT, default_transaction_isolation="read committed")
            db.commit()
            drain.run()
        finally:
            db.rollback()
            drain.give_back()
            _configure(db, **before)
            db.commit()


def _configure(db: Db, **settings: str) -> None:
    for name, value in settings.items():
        db.query("select set_config($1, $2, false)", ("text", name), ("text", value))


class Drain:
    """One run. clock: seconds, for the deadline only."""

    def __init__(self, db: Db, max_seconds: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._lease = str(uuid.uuid4())
        if max_seconds is None:
            max_seconds = int(db.query("select loci.setting('drain_seconds') as value")[0]["value"])
        self._began = clock()
        self._deadline = self._began + max_seconds
        self._models: dict[int, ModelConfig] = {}
        self._unusable: set[int] = set()
        # Whether more changed rows are waiting than can be claimed at a time.
        self._full = False
        self._batch = int(db.query("select loci.setting('split_batch') as value")[0]["value"])
        self._waited_for: float | None = None
        # How many texts a gateway gets at a time that has just recovered: one of them may have brought it down.
        self._most: dict[int, int] = {}
        self._chunkings: dict[tuple[int, str | None], list[Row]] = {}
        self._redactions: dict[str | None, Redaction] = {}
        self._completions = CompletionQueue(db, self._lease, self, self._late)

    def run(self) -> None:
        """Alternate between the queues, so that vectors follow text closely."""
        worked = True
        # What somebody's lock kept from being finished is looked at again.
        while (worked or self.give_back() or self._wait()) and not self._late():
            worked = self._split_batch()
            for row in self._db.query("select model_id from loci_private.pending_models() as p (model_id)"):
                if row["model_id"] not in self._unusable and not self._late():
                    worked |= self._embed_batch(row["model_id"])
            if not self._late():
                worked |= self._completions.answer_batch()
            # Fresh work goes first: only what is left of a batch is for rows that are being switched.
            worked |= not self._full and self._switch()
        self._step("activate_complete")
        for step in ("count_words", "fold_observations"):
            while self._step(step):
                pass
        # Whoever asks a model is told where the meter cannot be used; rows are indexed in any case.
        with suppress(LociError):
            write_ledger(self._db)
        self._log()

    def _log(self) -> None:
        outcome = {
            "job": "loci drain",
            "lease": self._lease,
            "seconds": round(self._clock() - self._began, 3),
            "in_time": not self._late(),
        }
        self._db.query("select loci_private.log_event('job', $1)", ("jsonb", json.dumps(outcome)))
        self._db.commit()

    def _switch(self) -> bool:
        """Get on with what is being switched to another model or chunking."""
        return any(self._step(step) for step in ("feed_rows", "activate_complete", "clear_surplus"))

    def _step(self, function: str) -> bool:
        try:
            done = self._db.query(f"select loci_private.{function}() as count")[0]["count"]
        except DbError as error:
            if error.sqlstate not in _BUSY:
                raise
            self._db.rollback()
            return False
        self._db.commit()
        return bool(done)

    def _wait(self) -> bool:
        """Wait a little for a gateway whose limit of requests is reached, if it can be used again before time is up."""
        row = self._db.query("select loci_private.next_request() as seconds")[0]
        seconds, now = row["seconds"], self._clock()
        # Where time goes on at all: a clock that was set does not.
        if seconds is None or now + seconds >= self._deadline or seconds == self._waited_for:
            return False
        self._waited_for = seconds
        until = now + min(seconds, _LOOK_SECONDS)
        while (left := until - self._clock()) > 0:
            self._db.checkpoint()
            time.sleep(min(left, _HEARTBEAT_SECONDS))
        self._db.checkpoint()
        return True

    def _late(self) -> bool:
        return self._clock() >= self._deadline

    def give_back(self) -> bool:
        """Whatever this run still holds is free for all at once. Whether there was anything."""
        freed = self._db.query("select loci_private.release($1) as freed", ("uuid", self._lease))[0]["freed"]
        self._db.commit()
        return bool(freed)

    # --- split --------------------------------------------------------------------------------------------------

    def _split_batch(self) -> bool:
        self._redactions.clear()
        self._chunkings.clear()
        claims = self.claim("select * from loci_private.claim_rows($1)", ("uuid", self._lease))
        if claims is None:
            return True
        self._db.commit()
        self._full = len(claims) >= self._batch
        by_source: dict[int, list[Row]] = defaultdict(list)
        for claim in claims:
            by_source[claim["source_id"]].append(claim)
        for source_id, group in by_source.items():
            self._split_source(source_id, group)
        return bool(claims)

    def _split_source(self, source_id: int, claims: list[Row]) -> None:
        if not self._db.query("select loci_private.is_watched($1) as watched", ("int4", source_id))[0]["watched"]:
            self._done("row_queue", claims)
            self._db.commit()
            return
        for op in ("resync", "truncate", "scan"):
            marks = [claim for claim in claims if claim["op"] == op]
            if marks:
                self._attempt(
                    marks,
                    "select loci_private.sweep_source($1, $2, $3, $4)",
                    ("int4", source_id),
                    ("text", op),
                    ("int8", _version(marks)),
                    ("uuid", self._lease),
                )
                self._db.commit()
        by_key: dict[str, list[Row]] = defaultdict(list)
        for claim in claims:
            if claim["op"] in ("upsert", "place"):
                by_key[claim["key"]].append(claim)
        if by_key:
            self._split_rows(source_id, by_key)

    def _split_rows(self, source_id: int, by_key: dict[str, list[Row]]) -> None:
        """Split these rows; those that are too much text to be read at once, one reading after the other."""
        while by_key:
            by_key = self._split_some(source_id, by_key)
            if by_key and self._late():
                self.put_back("row_queue", [claim for group in by_key.values() for claim in group])
                self._db.commit()
                break

    def _split_some(self, source_id: int, by_key: dict[str, list[Row]]) -> dict[str, list[Row]]:
        """Split the rows that fit into one reading; what is left."""
        try:
            rows = self._db.query(
                "select * from loci_private.read_rows($1, $2, loci.setting('split_batch_bytes')::int8)",
                ("int4", source_id),
                ("text[]", list(by_key)),
            )
            self._db.commit()
        except DbError as error:
            self._db.rollback()
            self._read_failed(source_id, by_key, error)
            return {}
        found = {row["key"] for row in rows}
        left = {row["key"]: by_key[row["key"]] for row in rows if row["held_back"]}
        rows = [row for row in rows if not row["held_back"]]
        gone = {key: claims for key, claims in by_key.items() if key not in found}
        for key, claims in gone.items():
            self._forget(source_id, key, claims)
        self._db.commit()

        ready: list[tuple[Row, list[dict[str, Any]]]] = []
        began = self._clock()
        for number, row in enumerate(rows):
            claims = by_key[row["key"]]
            # One row at least, so that the shortest runs get somewhere.
            if number and self._late():
                self.put_back("row_queue", claims)
                continue
            try:
                ready.append((row, self._sets(source_id, row)))
            except LociError as error:
                if error.sqlstate in _NO_TOKENIZER:
                    self.postpone("row_queue", claims, error, _MODEL_SECONDS)
                else:
                    self._forget(source_id, row["key"], claims, error)
            if self._clock() - began > _WRITE_SECONDS:
                self._store_rows(source_id, ready, by_key)
                ready, began = [], self._clock()
        self._store_rows(source_id, ready, by_key)
        return left

    def _store_rows(
        self, source_id: int, ready: list[tuple[Row, list[dict[str, Any]]]], by_key: dict[str, list[Row]]
    ) -> None:
        """Write rows that were split, with few commits."""
        written = self._clock()
        for row, sets in ready:
            self._store(source_id, row, by_key[row["key"]], sets)
            if self._clock() - written > _WRITE_SECONDS:
                self._db.commit()
                written = self._clock()
        self._db.commit()

    def _read_failed(self, source_id: int, by_key: dict[str, list[Row]], error: DbError) -> None:
        claims = [claim for group in by_key.values() for claim in group]
        if error.sqlstate.startswith("42") or error.sqlstate in _BUSY or len(by_key) == 1:
            self.failed("row_queue", claims, error)
            self._db.commit()
        else:
            # One row's expression fails; halve until it stands alone.
            keys = list(by_key)
            for part in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                self._split_rows(source_id, {key: by_key[key] for key in part})

    def _sets(self, source_id: int, row: Row) -> list[dict[str, Any]]:
        """Chunks of one row, a set for each way it has to be split; none in them if nobody may see it or it has no text."""
        if row["scope_id"] is not None and not row["scope_known"]:
            raise LociError(
                "unknown scope",
                detail=f"There is no organization, project or user {row['scope_id']}.",
                hint="Correct the row, or add the scope and call loci.retry_failures().",
                sqlstate="LC204",
            )
        if row["content_bytes"] is not None and row["content"] is None:
            raise LociError(
                "too much text in one row",
                detail=f"It has {row['content_bytes']} bytes.",
                hint="Split the row, or raise the setting max_content_bytes.",
                sqlstate="LC203",
            )
        chunkings = self._chunkings_of(source_id, row["organization_id"])
        if row["scope_id"] is None or not row["content"]:
            return [{"chunking_id": chunking["chunking_id"], "chunks": []} for chunking in chunkings]
        tokenizers = [get_tokenizer(chunking["tokenizer"]) for chunking in chunkings]
        redaction = self._redaction(row["organization_id"])
        # Nothing is open while text is being split.
        self._db.commit()
        document = to_document(row["content"], row["mime_type"], checkpoint=self._db.checkpoint)
        spans = redaction.find(document.text, self._db.checkpoint)
        row["title"] = row["title"] or document.title
        context = row["context"] or document.title
        return [
            self._set(document, context, chunking, tokenizer, redaction, spans)
            for chunking, tokenizer in zip(chunkings, tokenizers, strict=True)
        ]

    def _set(
        self,
        document: Document,
        context: str | None,
        chunking: Row,
        tokenizer: Tokenizer,
        redaction: Redaction,
        spans: list[Span],
    ) -> dict[str, Any]:
        chunks: list[dict[str, Any]] = []
        for chunk in iter_split_document(
            document, chunk_tokens=chunking["size"], overlap_tokens=chunking["overlap"], tokenizer=tokenizer
        ):
            chunks.append(
                {
                    "content": chunk.content,
                    "redacted": redaction.part(chunk.content, chunk.start, spans),
                    "token_count": chunk.token_count,
                    "metadata": chunk.metadata,
                }
            )
            if len(chunks) % 20 == 0:
                self._db.checkpoint()
        limit = chunking["max_tokens"]
        _add_context(chunks, context, limit - chunking["size"] - _MARGIN, tokenizer)
        redaction.add_context(chunks, lambda text: _shorten(text, limit - _MARGIN, tokenizer))
        return {"chunking_id": chunking["chunking_id"], "chunks": chunks}

    def _chunkings_of(self, source_id: int, organization_id: str | None) -> list[Row]:
        known = self._chunkings.get((source_id, organization_id))
        if known is None:
            known = self._chunkings[source_id, organization_id] = self._db.query(
                "select * from loci_private.chunkings_of($1, $2)", ("int4", source_id), ("uuid", organization_id)
            )
        return known

    def _redaction(self, organization_id: str | None) -> Redaction:
        known = self._redactions.get(organization_id)
        if known is None:
            row = self._db.query("select * from loci_private.redaction_of($1)", ("uuid", organization_id))[0]
            known = self._redactions[organization_id] = Redaction(row["marker"], row["patterns"])
        return known

    def _store(self, source_id: int, row: Row, claims: list[Row], sets: list[dict[str, Any]]) -> None:
        stored = self._attempt(
            claims,
            "select loci_private.store_row($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            ("int4", source_id),
            ("text", row["key"]),
            ("int8", _version(claims)),
            ("uuid", row["organization_id"]),
            ("uuid", row["scope_id"]),
            ("uuid[]", row["audience"]),
            ("text", row["title"]),
            ("jsonb", row["metadata"] or "{}"),
            ("int8", row["fingerprint"]),
            ("jsonb", json.dumps(sets, ensure_ascii=False)),
            ("uuid", self._lease),
            ("text", self._redaction(row["organization_id"]).marker),
        )
        if not stored:
            self._db.commit()

    def _forget(self, source_id: int, key: str, claims: list[Row], error: LociError | None = None) -> None:
        """Remove what was made of a row: it is gone, or has this error for good."""
        try:
            self._db.query(
                "select loci_private.forget_rows($1, $2, $3)",
                ("int4", source_id),
                ("text[]", [key]),
                ("int8", _version(claims)),
            )
        except DbError as failure:
            self.failed("row_queue", claims, failure)
            return
        if error is None:
            self._done("row_queue", claims)
        else:
            self.fail("row_queue", claims, error, permanent=True)

    # --- embed --------------------------------------------------------------------------------------------------

    def _embed_batch(self, model_id: int) -> bool:
        claims = self.claim(
            "select * from loci_private.claim_chunks($1, $2, $3)",
            ("uuid", self._lease),
            ("int4", model_id),
            ("int4", self._most.get(model_id)),
        )
        if claims is None:
            return True
        self._done("embed_queue", [claim for claim in claims if claim["passage"] is None])
        wanted: dict[str, list[Row]] = defaultdict(list)
        for claim in claims:
            if claim["passage"] is not None:
                wanted[claim["text_hash"]].append(claim)
        known = self._db.query(
            "select * from loci_private.known_vectors($1, $2)", ("int4", model_id), ("text[]", list(wanted))
        )
        self._db.commit()
        if known:
            vectors = {row["text_hash"]: row["embedding"] for row in known}
            self._write(model_id, wanted, vectors)
            wanted = {text_hash: group for text_hash, group in wanted.items() if text_hash not in vectors}
        if wanted:
            self._embed(model_id, dict(wanted))
        return bool(claims)

    def _embed(self, model_id: int, wanted: dict[str, list[Row]]) -> None:
        hashes = list(wanted)
        model = self._model(model_id)
        permit = _Permit(self._db, model, self._late)
        self._db.commit()
        try:
            outcome = embed_each(
                [wanted[h][0]["passage"] for h in hashes], "passage", model, self._db.checkpoint, permit, self._db
            )
        except LociError as error:
            self._unusable.add(model_id)
            self.postpone("embed_queue", [c for group in wanted.values() for c in group], error, _MODEL_SECONDS)
            self._db.commit()
            return
        vectors = {hashes[n]: format_vector(vector) for n, vector in outcome.vectors.items()}
        if vectors:
            self._write(model_id, wanted, vectors)
        for n, failure in outcome.errors.items():
            self.fail("embed_queue", wanted[hashes[n]], failure, permanent=failure.sqlstate in _PERMANENT)
        tried = {*outcome.vectors, *outcome.errors}
        rest = [claim for n, text_hash in enumerate(hashes) if n not in tried for claim in wanted[text_hash]]
        if outcome.stopped is None and outcome.requests:
            (health,) = self._db.query("select loci_private.recovered($1) as from_outage", ("int4", model_id))
            if health["from_outage"] or model_id in self._most:
                self._most[model_id] = max(self._most.get(model_id, 0), 2 * len(hashes))
        if outcome.stopped is not None:
            self._most.pop(model_id, None)
            health = self._cool_down(model_id, outcome.stopped.retry_after, outcome.stopped)
            if len(hashes) == 1 and outcome.stopped.kind == "outage" and health["outages"] > 1:
                self.postpone("embed_queue", rest, outcome.stopped, max(_SUSPECT_SECONDS, 2 * health["wait"]))
                rest = []
        elif permit.limited:
            self._cool_down(model_id, None, None)
        if rest:
            self.put_back("embed_queue", rest)
        if outcome.requests:
            self._db.query(
                "select loci_private.count_usage($1, $2, $3, $4, $5)",
                ("int4", model_id),
                ("int4", outcome.requests),
                ("int4", len(vectors)),
                ("int8", outcome.tokens),
                ("numeric", repr(outcome.cost_usd)),
            )
        self._db.commit()

    def _cool_down(self, model_id: int, seconds: float | None, error: LociError | None) -> Row:
        return self._db.query(
            "select * from loci_private.cool_down($1, $2, $3)",
            ("int4", model_id),
            ("float8", seconds),
            ("jsonb", _as_json(error) if error else None),
        )[0]

    def _write(self, model_id: int, wanted: dict[str, list[Row]], vectors: dict[str, str]) -> None:
        claims = [(claim, vector) for text_hash, vector in vectors.items() for claim in wanted[text_hash]]
        try:
            self._db.query(
                "select loci_private.store_vectors($1, $2, $3, $4, $5)",
                ("int4", model_id),
                ("uuid", self._lease),
                ("int8[]", [claim["queue_id"] for claim, _ in claims]),
                ("int8[]", [claim["chunk_id"] for claim, _ in claims]),
                ("text[]", [vector for _, vector in claims]),
            )
        except DbError as error:
            if len(vectors) == 1 or error.sqlstate in _BUSY:
                self.failed("embed_queue", [claim for claim, _ in claims], error)
            else:
                hashes = list(vectors)
                for part in (hashes[: len(hashes) // 2], hashes[len(hashes) // 2 :]):
                    self._write(model_id, wanted, {text_hash: vectors[text_hash] for text_hash in part})
        self._db.commit()

    def _model(self, model_id: int) -> ModelConfig:
        if model_id not in self._models:
            row = self._db.query("select loci_private.model_config($1) as model", ("int4", model_id))[0]
            self._models[model_id] = model_config(json.loads(row["model"]))
        return self._models[model_id]

    # --- leases -------------------------------------------------------------------------------------------------

    def claim(self, sql: str, *parameters: tuple[str, Any]) -> list[Row] | None:
        """Lease work; None if others were claiming all the while."""
        try:
            return self._db.query(sql, *parameters)
        except DbError as error:
            if error.sqlstate not in _BUSY:
                raise
            self._db.rollback()
            return None

    def _attempt(self, claims: list[Row], sql: str, *parameters: tuple[str, Any]) -> bool:
        """Run one statement that finishes these rows; when it fails, they failed."""
        try:
            self._db.query(sql, *parameters)
        except DbError as error:
            self.failed("row_queue", claims, error)
            return False
        self._done("row_queue", claims)
        return True

    def failed(self, queue: str, claims: list[Row], error: DbError) -> None:
        """A statement failed: whose fault is it?"""
        if error.sqlstate in _BUSY:
            self.postpone(queue, claims, error, _BUSY_SECONDS)
        elif queue == "row_queue" and error.sqlstate.startswith("42"):
            # The table no longer is what the expressions were written for.
            self._db.query(
                "select loci_private.break_source($1, $2)", ("int4", claims[0]["source_id"]), ("text", error.message)
            )
            self.put_back(queue, claims)
        else:
            self.fail(queue, claims, error)

    def _done(self, queue: str, claims: list[Row]) -> None:
        if claims:
            self._lease_call("done", queue, claims)

    def put_back(self, queue: str, claims: list[Row]) -> None:
        self._lease_call("put_back", queue, claims)

    def _lease_call(self, function: str, queue: str, claims: list[Row]) -> None:
        self._db.query(
            f"select loci_private.{function}($1, $2, $3)",
            ("text", queue),
            ("uuid", self._lease),
            ("int8[]", [claim["queue_id"] for claim in claims]),
        )

    def fail(self, queue: str, claims: list[Row], error: LociError | DbError, *, permanent: bool = False) -> None:
        self._db.query(
            "select loci_private.fail($1, $2, $3, $4)",
            ("text", queue),
            ("uuid", self._lease),
            ("int8[]", [claim["queue_id"] for claim in claims]),
            ("jsonb", _as_json(error, permanent=permanent)),
        )

    def postpone(self, queue: str, claims: list[Row], error: LociError | DbError, seconds: float) -> None:
        self._db.query(
            "select loci_private.postpone($1, $2, $3, $4, $5)",
            ("text", queue),
            ("uuid", self._lease),
            ("int8[]", [claim["queue_id"] for claim in claims]),
            ("float4", seconds),
            ("jsonb", _as_json(error)),
        )


class _Permit:
    """Asked before each request to a gateway. limited: it has said no because the gateway's minute is used up."""

    def __init__(self, db: Db, model: ModelConfig, late: Callable[[], bool]) -> None:
        self._db = db
        self._gateway = (model.gateway or {}).get("gateway")
        self._late = late
        self.limited = False

    def __call__(self) -> bool:
        if self.limited or self._late():
            return False
        if self._gateway is None:
            return True
        row = self._db.query("select loci_private.take_requests($1, 1) as granted", ("text", self._gateway))[0]
        self.limited = row["granted"] == 0
        self._db.commit()
        return not self.limited


def _as_json(error: LociError | DbError, **more: Any) -> str:
    return json.dumps(
        {"sqlstate": error.sqlstate, "message": error.message, "detail": error.detail, "hint": error.hint, **more}
    )


def _version(claims: list[Row]) -> int:
    return max(int(claim["queue_id"]) for claim in claims)


def _add_context(chunks: list[dict[str, Any]], context: str | None, tokens: int, tokenizer: Tokenizer) -> None:
    """Give each chunk its context: the row's, and the headings it stands under."""
    context = (context or "").strip()
    fitting: dict[str, str | None] = {}
    for chunk in chunks:
        heading = str(chunk["metadata"].get("heading") or "")
        # A title is often the first heading as well.
        heading = "" if heading == context else heading.removeprefix(f"{context} > ")
        if heading not in fitting:
            path = _shorten(heading, tokens // 2, tokenizer) or ""
            room = tokens - tokenizer.count(path) - 1 if path else tokens
            fitting[heading] = "\n".join(filter(None, (_shorten(context, room, tokenizer), path))) or None
        chunk["context"] = fitting[heading]


def _shorten(context: str | None, tokens: int, tokenizer: Tokenizer) -> str | None:
    """The context as far as it fits the room left beside a chunk; whole words."""
    if not context or tokenizer.count(context) <= tokens:
        return context
    words = context.split()
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if tokenizer.count(" ".join(words[:middle])) <= tokens:
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low]) or None
