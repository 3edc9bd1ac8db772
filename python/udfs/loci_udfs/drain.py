"""loci.drain(): split changed rows into chunks, embed chunks, until nothing is due or time is up.

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
from typing import Any

from loci_udfs.chunking import iter_split_document
from loci_udfs.db import Db, DbError, PlpyDb, Row, errors_reported
from loci_udfs.embedding import embed, model_config
from loci_udfs.errors import LociError
from loci_udfs.extract import to_document
from loci_udfs.providers.base import ModelConfig
from loci_udfs.tokens import Tokenizer, get_tokenizer

# Tokens that a passage needs besides its text: prefix, start, end, and the blank line after its context.
_MARGIN = 12
# Room kept for the context of a passage where the model's limit is short.
_CONTEXT = 72
# Rows are written together until this many seconds have passed: few commits, short locks.
_WRITE_SECONDS = 0.25


def run(plpy: Any, max_seconds: int | None) -> None:
    """Entry of the procedure. Runs with the rights of loci_worker, whoever called it."""
    db = PlpyDb(plpy, in_procedure=True)
    with errors_reported(db):
        if max_seconds is not None and max_seconds <= 0:
            raise LociError(
                f"a drain cannot last {max_seconds} seconds", hint="Pass a positive number.", sqlstate="LC251"
            )
        role = db.query("select current_setting('role') as role")[0]["role"]
        try:
            db.query("set role loci_worker")
        except DbError:
            raise LociError(
                "only members of loci_worker or loci_admin may drain",
                hint="grant loci_worker to this role, or let pg_cron run it.",
                sqlstate="LC252",
            ) from None
        drain = Drain(db, max_seconds)
        try:
            db.commit()
            drain.run()
        finally:
            db.rollback()
            drain.give_back()
            db.query("select set_config('role', $1, false)", ("text", role))
            db.commit()


class Drain:
    """One run. clock: seconds, for the deadline only."""

    def __init__(self, db: Db, max_seconds: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._lease = str(uuid.uuid4())
        if max_seconds is None:
            max_seconds = int(db.query("select loci.setting('drain_seconds') as value")[0]["value"])
        self._deadline = clock() + max_seconds
        self._models: dict[int, ModelConfig] = {}
        self._chunkings: dict[str | None, tuple[Tokenizer, int]] = {}

    def run(self) -> None:
        """Alternate between both queues, so that vectors follow text closely."""
        worked = True
        while worked and self._clock() < self._deadline:
            worked = self._split_batch()
            for row in self._db.query("select model_id from loci_private.pending_models() as p (model_id)"):
                if self._clock() < self._deadline:
                    worked |= self._embed_batch(row["model_id"])
        self._db.query("select loci_private.activate_complete_models()")
        self._db.commit()

    def give_back(self) -> None:
        """Whatever this run still holds is free for others at once."""
        for queue in ("row_queue", "embed_queue"):
            self._db.query("select loci_private.put_back($1, $2)", ("text", queue), ("uuid", self._lease))

    # --- split --------------------------------------------------------------------------------------------------

    def _split_batch(self) -> bool:
        claims = self._db.query("select * from loci_private.claim_rows($1)", ("uuid", self._lease))
        self._db.commit()
        by_source: dict[int, list[Row]] = defaultdict(list)
        for claim in claims:
            by_source[claim["source_id"]].append(claim)
        for source_id, group in by_source.items():
            self._split_source(source_id, group)
        return bool(claims)

    def _split_source(self, source_id: int, claims: list[Row]) -> None:
        config = self._db.query("select * from loci_private.source_config($1)", ("int4", source_id))
        if not config:
            self._done("row_queue", claims)
            self._db.commit()
            return
        for claim in [c for c in claims if c["op"] in ("truncate", "resync", "scan")]:
            self._attempt(
                "row_queue",
                [claim],
                "select loci_private.sweep_source($1, $2, $3)",
                ("int4", source_id),
                ("text", claim["op"]),
                ("int8", claim["queue_id"]),
            )
            self._db.commit()
        by_key: dict[str, list[Row]] = defaultdict(list)
        for claim in claims:
            if claim["op"] in ("upsert", "place"):
                by_key[claim["key"]].append(claim)
        if by_key:
            self._split_rows(source_id, config[0], by_key)

    def _split_rows(self, source_id: int, config: Row, by_key: dict[str, list[Row]]) -> None:
        try:
            rows = self._db.query(
                "select * from loci_private.read_rows($1, $2)", ("int4", source_id), ("text[]", list(by_key))
            )
            self._db.commit()
        except DbError as error:
            self._db.rollback()
            self._read_failed(source_id, config, by_key, error)
            return
        found = {row["key"] for row in rows}
        gone = {key: claims for key, claims in by_key.items() if key not in found}
        for key, claims in gone.items():
            self._forget(source_id, key, claims)
            self._done("row_queue", claims)
        self._db.commit()

        written = self._clock()
        for row in rows:
            claims = by_key[row["key"]]
            try:
                chunks = self._chunks(row, config)
            except LociError as error:
                self._forget(source_id, row["key"], claims)
                self._fail("row_queue", claims, error, permanent=True)
                chunks = None
            if chunks is not None:
                self._store(source_id, row, claims, chunks)
            if self._clock() - written > _WRITE_SECONDS:
                self._db.commit()
                written = self._clock()
        self._db.commit()

    def _read_failed(self, source_id: int, config: Row, by_key: dict[str, list[Row]], error: DbError) -> None:
        claims = [claim for group in by_key.values() for claim in group]
        if error.sqlstate.startswith("42"):
            # Not a row's fault: the table no longer is what the expressions were written for.
            self._db.query(
                "select loci_private.break_source($1, $2)", ("int4", source_id), ("text", error.message)
            )
            self._put_back("row_queue", claims)
            self._db.commit()
        elif len(by_key) == 1:
            self._fail("row_queue", claims, error)
            self._db.commit()
        else:
            # One row's expression fails; halve until it stands alone.
            keys = list(by_key)
            for part in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                self._split_rows(source_id, config, {key: by_key[key] for key in part})

    def _chunks(self, row: Row, config: Row) -> list[dict[str, Any]] | None:
        """Chunks of one row, none for a row that nobody may see or that has no text."""
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
        if row["scope_id"] is None or not row["content"]:
            return []
        tokenizer, limit = self._chunking(row["organization_id"])
        size = min(config["chunk_tokens"], max(limit - _CONTEXT - _MARGIN, 50))
        # Nothing is open while text is being split.
        self._db.commit()
        document = to_document(row["content"], row["mime_type"], checkpoint=self._db.checkpoint)
        chunks = []
        for chunk in iter_split_document(
            document,
            chunk_tokens=size,
            overlap_tokens=min(config["chunk_overlap"], size // 2),
            tokenizer=tokenizer,
        ):
            chunks.append(
                {
                    "content": chunk.content,
                    "token_count": chunk.token_count,
                    "metadata": {"heading": chunk.heading} if chunk.heading else {},
                }
            )
            if len(chunks) % 20 == 0:
                self._db.checkpoint()
        row["title"] = row["title"] or document.title
        row["context"] = _shorten(row["context"] or document.title, limit - size - _MARGIN, tokenizer)
        return chunks

    def _chunking(self, organization_id: str | None) -> tuple[Tokenizer, int]:
        known = self._chunkings.get(organization_id)
        if known is None:
            row = self._db.query("select * from loci_private.chunking_of($1)", ("uuid", organization_id))[0]
            known = self._chunkings[organization_id] = (get_tokenizer(row["tokenizer"]), row["max_tokens"])
        return known

    def _store(self, source_id: int, row: Row, claims: list[Row], chunks: list[dict[str, Any]]) -> None:
        stored = self._attempt(
            "row_queue",
            claims,
            "select loci_private.store_row($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            ("int4", source_id),
            ("text", row["key"]),
            ("int8", _version(claims)),
            ("uuid", row["organization_id"]),
            ("uuid", row["scope_id"]),
            ("uuid[]", row["audience"]),
            ("text", row["title"]),
            ("jsonb", row["metadata"] or "{}"),
            ("int8", row["fingerprint"]),
            ("text", row["context"]),
            ("jsonb", json.dumps(chunks, ensure_ascii=False)),
        )
        if not stored:
            self._db.commit()

    def _forget(self, source_id: int, key: str, claims: list[Row]) -> None:
        self._db.query(
            "select loci_private.forget_rows($1, $2, $3)",
            ("int4", source_id),
            ("text[]", [key]),
            ("int8", _version(claims)),
        )

    # --- embed --------------------------------------------------------------------------------------------------

    def _embed_batch(self, model_id: int) -> bool:
        claims = self._db.query(
            "select * from loci_private.claim_chunks($1, $2)", ("uuid", self._lease), ("int4", model_id)
        )
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
        self._db.commit()
        try:
            vectors = embed([wanted[h][0]["passage"] for h in hashes], "passage", model, self._db.checkpoint)
        except LociError as error:
            if len(hashes) == 1:
                self._fail("embed_queue", wanted[hashes[0]], error, permanent=error.sqlstate in ("LC230", "LC235"))
                self._db.commit()
                return
            # One text spoils the request; halve until it stands alone.
            for part in (hashes[: len(hashes) // 2], hashes[len(hashes) // 2 :]):
                self._embed(model_id, {text_hash: wanted[text_hash] for text_hash in part})
            return
        self._write(model_id, wanted, dict(zip(hashes, vectors, strict=True)))

    def _write(self, model_id: int, wanted: dict[str, list[Row]], vectors: dict[str, str]) -> None:
        claims = [(claim, vectors[text_hash]) for text_hash in vectors for claim in wanted[text_hash]]
        self._attempt(
            "embed_queue",
            [claim for claim, _ in claims],
            "select loci_private.store_vectors($1, $2, $3, $4, $5)",
            ("int4", model_id),
            ("uuid", self._lease),
            ("int8[]", [claim["queue_id"] for claim, _ in claims]),
            ("int8[]", [claim["chunk_id"] for claim, _ in claims]),
            ("text[]", [vector for _, vector in claims]),
        )
        self._db.commit()

    def _model(self, model_id: int) -> ModelConfig:
        if model_id not in self._models:
            row = self._db.query("select loci_private.model_config($1) as model", ("int4", model_id))[0]
            self._models[model_id] = model_config(json.loads(row["model"]))
        return self._models[model_id]

    # --- leases -------------------------------------------------------------------------------------------------

    def _attempt(self, queue: str, claims: list[Row], sql: str, *parameters: tuple[str, Any]) -> bool:
        """Run one statement that finishes these claims; when it fails, they failed."""
        try:
            self._db.query(sql, *parameters)
        except DbError as error:
            self._fail(queue, claims, error)
            return False
        if queue == "row_queue":
            self._done(queue, claims)
        return True

    def _done(self, queue: str, claims: list[Row]) -> None:
        if claims:
            self._lease_call("done", queue, claims)

    def _put_back(self, queue: str, claims: list[Row]) -> None:
        self._lease_call("put_back", queue, claims)

    def _lease_call(self, function: str, queue: str, claims: list[Row]) -> None:
        self._db.query(
            f"select loci_private.{function}($1, $2, $3)",
            ("text", queue),
            ("uuid", self._lease),
            ("int8[]", [claim["queue_id"] for claim in claims]),
        )

    def _fail(self, queue: str, claims: list[Row], error: LociError | DbError, *, permanent: bool = False) -> None:
        what = {
            "sqlstate": error.sqlstate,
            "message": error.message,
            "detail": error.detail,
            "hint": error.hint,
            "permanent": permanent,
        }
        self._db.query(
            "select loci_private.fail($1, $2, $3, $4)",
            ("text", queue),
            ("uuid", self._lease),
            ("int8[]", [claim["queue_id"] for claim in claims]),
            ("jsonb", json.dumps(what)),
        )


def _version(claims: list[Row]) -> int:
    return max(int(claim["queue_id"]) for claim in claims)


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
