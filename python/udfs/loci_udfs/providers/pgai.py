"""Embeddings from the functions of pgai's extension `ai`, where a database has it.

They are reached by name when they are called: nothing here needs the extension to be there. Unlike every other provider
this one is an SQL statement, so that a snapshot is held while the model computes, and a cancel takes effect between two
requests only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from loci_udfs.db import Db, DbError
from loci_udfs.errors import LociError
from loci_udfs.gateway import GatewayError
from loci_udfs.gateway import Kind as Failure
from loci_udfs.providers.base import Kind, ModelConfig, Outcome, check_texts, check_vectors
from loci_udfs.tokens import get_tokenizer

if TYPE_CHECKING:
    from loci_udfs.providers.base import Vectors

_QUOTED = 300
# What a provider repeats of a key it was sent.
_SECRET = re.compile(r"\b(?:sk|pk)-[\w*.-]+")

_FIND = """
select array_to_json(p.proargnames) as names
from pg_catalog.pg_proc as p
where p.pronamespace = pg_catalog.to_regnamespace('ai') and p.proname = $1 and p.proargnames @> array['model', 'input_texts']
    and p.proargtypes[1] = 'pg_catalog.text[]'::pg_catalog.regtype
"""

# Exception of the Python client, as it begins the message -> what it says about the gateway, and our code for it.
_FAULTS: tuple[tuple[str, Failure, str], ...] = (
    ("RateLimitError", "overloaded", "LC401"),
    ("Timeout", "outage", "LC403"),
    ("AuthenticationError", "misconfigured", "LC404"),
    ("PermissionDeniedError", "misconfigured", "LC404"),
    # pgai's own words for a key that is missing or withheld.
    (" secret", "misconfigured", "LC404"),
    ("NotFoundError", "misconfigured", "LC405"),
    ("BadRequestError", "rejected", "LC406"),
    ("UnprocessableEntityError", "rejected", "LC406"),
)
_OUTAGE: tuple[Failure, str] = ("outage", "LC402")


def provider(db: Db | None = None) -> PgaiProvider:
    return PgaiProvider(db)


class PgaiProvider:
    """A name with a slash (provider/model) goes to ai.litellm_embed, any other to ai.openai_embed.

    The gateway's address and the name behind an env: reference are handed on; without them pgai uses its own settings.
    """

    def __init__(self, db: Db | None) -> None:
        self._db = db

    def embed(self, texts: Sequence[str], kind: Kind, model: ModelConfig, checkpoint: Callable[[], None]) -> Vectors:
        """All or nothing: the first failure is raised. LC270 and LC277 are pgai's own, the others those of litellm."""
        check_texts(texts, kind)
        statement, parameters = self._call(model)
        prefix = model.query_prefix if kind == "query" else model.passage_prefix
        vectors: list[Any] = []
        for start in range(0, len(texts), model.max_batch):
            checkpoint()
            batch = [prefix + text for text in texts[start : start + model.max_batch]]
            vectors.extend(self._request(statement, parameters, batch, model))
        return check_vectors(vectors, len(texts), model.dimensions)

    def embed_each(
        self,
        texts: Sequence[str],
        kind: Kind,
        model: ModelConfig,
        checkpoint: Callable[[], None],
        permit: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Requests of at most model.max_batch texts, one after the other; one that fails is halved."""
        outcome = Outcome()
        prefix = model.query_prefix if kind == "query" else model.passage_prefix
        passages = [prefix + text for text in texts]
        tokenizer = get_tokenizer(model.tokenizer)
        fitting = []
        for position, text in enumerate(texts):
            if not text or text.isspace():
                outcome.errors[position] = LociError("empty text", sqlstate="LC235")
            elif (size := tokenizer.count(passages[position])) > model.max_tokens:
                outcome.errors[position] = LociError(
                    "text too long for the model",
                    detail=f"It has {size} tokens, the limit is {model.max_tokens}.",
                    hint="Use smaller chunks for this source, or a model with a higher limit.",
                    sqlstate="LC230",
                )
            else:
                fitting.append(position)
        try:
            statement, parameters = self._call(model)
        except GatewayError as error:
            outcome.stopped = error
            return outcome
        waiting = [fitting[n : n + model.max_batch] for n in range(0, len(fitting), model.max_batch)]
        while waiting and outcome.stopped is None:
            checkpoint()
            if permit is not None and not permit():
                break
            positions = waiting.pop(0)
            outcome.requests += 1
            try:
                vectors = self._request(statement, parameters, [passages[position] for position in positions], model)
            except LociError as error:
                if (stopped := self._fault_of_all(error, statement, parameters, prefix, model)) is not None:
                    outcome.stopped = stopped
                elif len(positions) == 1:
                    outcome.errors[positions[0]] = error
                else:
                    middle = len(positions) // 2
                    waiting[:0] = [positions[:middle], positions[middle:]]
            else:
                outcome.vectors.update(zip(positions, vectors, strict=True))
        return outcome

    def _fault_of_all(
        self, error: LociError, statement: str, parameters: list[tuple[str, Any]], prefix: str, model: ModelConfig
    ) -> GatewayError | None:
        """What stops everything, if it does: not even a harmless text can be embedded. None: it is the texts' fault."""
        if isinstance(error, GatewayError) and error.kind == "overloaded":
            return error
        try:
            self._request(statement, parameters, [prefix + "Loci"], model)
        except LociError as failure:
            kind = failure.kind if isinstance(failure, GatewayError) and failure.kind != "rejected" else "misconfigured"
            return GatewayError(
                kind, failure.message, detail=failure.detail, hint=failure.hint, sqlstate=failure.sqlstate
            )
        return None

    def _request(
        self, statement: str, parameters: list[tuple[str, Any]], texts: list[str], model: ModelConfig
    ) -> Vectors:
        assert self._db is not None
        try:
            rows = self._db.query(statement, ("text[]", texts), *parameters)
        except DbError as error:
            raise _translated(error) from None
        if sorted(row["index"] for row in rows) != list(range(len(texts))):
            raise LociError(
                "wrong number of embeddings", detail=f"Expected {len(texts)}, got {len(rows)}.", sqlstate="LC231"
            )
        vectors = [json.loads(row["embedding"]) for row in sorted(rows, key=lambda row: int(row["index"]))]
        return check_vectors(vectors, len(texts), model.dimensions)

    def _call(self, model: ModelConfig) -> tuple[str, list[tuple[str, Any]]]:
        """The statement, whose first parameter is the texts, and its other parameters. Raises LC270, LC277."""
        if self._db is None:
            raise _missing("This is not a database session.")
        function = "litellm_embed" if "/" in model.name else "openai_embed"
        found = self._db.query(_FIND, ("name", function))
        if not found:
            raise _missing(f"There is no function ai.{function}(model text, input_texts text[], ...).")
        known = {name for row in found for name in json.loads(row["names"])}
        arguments: list[tuple[str, str, Any]] = [("model", "text", model.name)]
        gateway = model.gateway or {}
        if gateway.get("api_key_ref"):
            arguments.append(("api_key_name", "text", _key_name(gateway["api_key_ref"])))
        address, timeout = gateway.get("base_url"), gateway.get("timeout_seconds")
        sized = "text-embedding-3" in model.name
        if function == "litellm_embed":
            options: dict[str, Any] = {"num_retries": 0}
            options |= {"api_base": address} if address else {}
            options |= {"timeout": timeout} if timeout else {}
            options |= {"dimensions": model.dimensions} if sized else {}
            arguments.append(("extra_options", "jsonb", json.dumps(options)))
        else:
            if sized:
                arguments.append(("dimensions", "int4", model.dimensions))
            if "client_config" in known:
                config: dict[str, Any] = {"max_retries": 0}
                config |= {"base_url": address} if address else {}
                config |= {"timeout": timeout} if timeout else {}
                arguments.append(("client_config", "jsonb", json.dumps(config)))
            elif address:
                arguments.append(("base_url", "text", address))
        unknown = [name for name, _, _ in arguments if name not in known]
        if unknown:
            raise GatewayError(
                "misconfigured",
                "pgai's function cannot be used like this",
                detail=f"ai.{function} has no argument {', '.join(unknown)}.",
                hint="Upgrade the extension: alter extension ai update.",
                sqlstate="LC277",
            )
        given = ", ".join(f"{name} => ${n}" for n, (name, _, _) in enumerate(arguments, 2))
        # The form that returns a set: pgai marks its functions immutable, and one that returns a single vector could
        # be called while the statement is planned.
        return (
            f'select e."index", e.embedding::text as embedding from ai.{function}(input_texts => $1, {given}) as e',
            [(kind, value) for _, kind, value in arguments],
        )


def _key_name(reference: str) -> str:
    scheme, _, name = reference.partition(":")
    if scheme != "env":
        raise GatewayError(
            "misconfigured",
            "pgai cannot use this key",
            detail="It takes keys by the name of a variable of the server's environment only.",
            hint="Give the gateway an api_key_ref of the form env:NAME, or none, and pgai its own.",
            sqlstate="LC277",
        )
    return name


def _missing(detail: str) -> GatewayError:
    return GatewayError(
        "misconfigured",
        "pgai's embedding functions are not there",
        detail=detail,
        hint="They come with the extension ai, not with the Python package pgai. Without it use the provider litellm.",
        sqlstate="LC270",
    )


def _translated(error: DbError) -> GatewayError:
    text = _SECRET.sub("***", " ".join(error.message.split()))
    if error.sqlstate == "42501":
        return GatewayError(
            "misconfigured",
            "pgai's embedding functions may not be called",
            detail=text[:_QUOTED],
            hint="grant usage on schema ai, and execute on its functions, to loci_worker and loci_owner.",
            sqlstate="LC277",
        )
    # What follows may quote anything, the text that was sent included.
    name = text if text.startswith("plpy.") else text.partition(":")[0]
    kind, sqlstate = next(((kind, code) for sign, kind, code in _FAULTS if sign in name), _OUTAGE)
    return GatewayError(
        kind,
        "pgai could not embed",
        detail=f"{error.sqlstate}: {text[:_QUOTED]}",
        hint="Address and key are those of the model's gateway, or pgai's own where it has none.",
        sqlstate=sqlstate,
    )
