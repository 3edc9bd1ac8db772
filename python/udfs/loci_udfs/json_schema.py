"""JSON Schema for answers: whether a value fits, and what is wrong where it does not.

Schemas come from applications. Nothing is fetched for them, and no schema can hold a server process up: regular
expressions are the server's own, which can be cancelled, and the steps of a validation are counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from loci_udfs.errors import LociError

_LARGEST = 100_000
_MOST_STEPS = 500_000
_STEPS_A_CHECKPOINT = 1000
_MOST_PROBLEMS = 5
_QUOTED = 200
# Name of the one property that holds an answer which is no object itself: arguments of a tool always are one.
WRAPPED = "answer"


class Schema:
    """matches(pattern, text): whether a regular expression finds something. Raises LC512 for what is no usable schema."""

    def __init__(
        self,
        schema: Any,
        matches: Callable[[str, str], bool] = lambda pattern, text: re.search(pattern, text) is not None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        # Half a second, for those who need it.
        from jsonschema import validators
        from jsonschema.exceptions import SchemaError
        from referencing import Registry

        if not isinstance(schema, dict):
            raise _unusable("It is no JSON object.")
        if len(json.dumps(schema, default=str)) > _LARGEST:
            raise _unusable(f"It has more than {_LARGEST} bytes.")
        self.schema = schema
        self._matches = matches
        self._checkpoint = checkpoint
        self._steps = 0
        try:
            if _has_key(schema, "patternProperties"):
                raise _unusable("patternProperties are not supported.")
            base = validators.validator_for(schema, default=validators.validator_for({}))
            base.check_schema(schema)
            keywords = {name: self._counted(keyword) for name, keyword in base.VALIDATORS.items()}
            keywords |= {"pattern": self._pattern, "uniqueItems": self._unique}
            self._validator = validators.extend(base, keywords)(schema, registry=Registry())
        except SchemaError as error:
            raise _unusable(f"At {error.json_path}: {error.message[:_QUOTED]}") from None
        except RecursionError:
            raise _unusable("It is nested too deeply.") from None

    @property
    def parameters(self) -> dict[str, Any]:
        """The schema as that of a tool's arguments, which are an object."""
        if self.wraps:
            return {"type": "object", "properties": {WRAPPED: self.schema}, "required": [WRAPPED]}
        return self.schema

    @property
    def wraps(self) -> bool:
        return self.schema.get("type") != "object"

    def problems(self, value: Any) -> list[tuple[str, str]]:
        """What is wrong with a value, at most a few things: what may be logged, and what the model may be told."""
        from jsonschema.exceptions import ValidationError
        from referencing.exceptions import Unresolvable

        self._steps = 0
        found = []
        try:
            for error in self._validator.iter_errors(value):
                assert isinstance(error, ValidationError)
                # Names in the path are the schema's, or were made up by the model: not worth much more than this.
                path = str(error.json_path)[:_QUOTED]
                found.append((f"{path} breaks {error.validator}", f"{path}: {error.message[:_QUOTED]}"))
                if len(found) == _MOST_PROBLEMS:
                    break
        except Unresolvable:
            raise _unusable("It refers to something outside of itself, or to a part that it does not have.") from None
        except RecursionError:
            raise _unusable("It refers to itself without an end.") from None
        return found

    def fits(self, value: Any) -> bool:
        return not self.problems(value)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise _unusable("It takes too many steps to compare an answer with it.")
        if self._steps % _STEPS_A_CHECKPOINT == 0:
            self._checkpoint()

    def _counted(self, keyword: Any) -> Any:
        def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            self._step()
            yield from keyword(validator, value, instance, schema) or ()

        return check

    def _pattern(self, validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
        from jsonschema.exceptions import ValidationError

        self._step()
        if isinstance(instance, str) and not self._matches(pattern, instance):
            yield ValidationError(f"it does not match {pattern!r}")

    def _unique(self, validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
        """In time that grows with the list, not with its square."""
        from jsonschema.exceptions import ValidationError

        self._step()
        if wanted and isinstance(instance, list):
            seen = {json.dumps(_canonical(item), sort_keys=True) for item in instance}
            if len(seen) < len(instance):
                yield ValidationError("its items are not all different")


def _canonical(value: Any) -> Any:
    """1 and 1.0 are the same number."""
    if isinstance(value, Decimal):
        return {"": str(value.normalize())}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value


def _has_key(schema: Any, key: str) -> bool:
    if isinstance(schema, Mapping):
        return isinstance(schema.get(key), Mapping) or any(_has_key(item, key) for item in schema.values())
    return isinstance(schema, list) and any(_has_key(item, key) for item in schema)


def _unusable(detail: str) -> LociError:
    return LociError(
        "the schema cannot be used",
        detail=detail,
        hint="Pass a JSON Schema as an object that needs nothing from outside.",
        sqlstate="LC512",
    )
