"""What a person sees of a proposal: everything, and nothing else than what runs."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.actions import check_arguments, review, visible
from loci_udfs.db import Db
from loci_udfs.errors import LociError


@pytest.mark.parametrize(
    ("text", "shown", "removed"),
    [
        ("pay 10", "pay 10", 0),
        ("pay \u202e001\u202c", "pay 001", 2),
        ("ad\u200bmin\ufeff", "admin", 2),
        ("soft\u00adhyphen", "softhyphen", 1),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd", 0),
        ("a\u00a0b\u3000c", "a b c", 0),
        ("bell\x07\x1b[2Kx", "bell[2Kx", 2),
        ("flag\U000e0067\U000e007f", "flag", 2),
        ("smile\ufe0f\U000e0100", "smile", 2),
        ("\u3164\u115f\u2800", "", 3),
        ("\ue000\U000f0000", "", 2),
        ("Grüße, 東京, Ελλάδα, e\u0301", "Grüße, 東京, Ελλάδα, e\u0301", 0),
    ],
)
def test_what_nobody_sees_is_gone(text: str, shown: str, removed: int) -> None:
    assert visible(text) == (shown, removed)


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    shown, _ = visible(text)
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c)[0] == "C"]
    assert visible(shown) == (shown, 0)


def test_names_are_cleaned_like_values() -> None:
    shown = review('{"am\u200bount": 1, "to": ["b\u202eob", {"x\u200b": null}]}', "pay")
    assert json.loads(shown["arguments"]) == {"amount": 1, "to": ["bob", {"x": None}]}
    assert shown["removed"] == 3
    assert shown["summary"] == 'pay\n  amount: 1\n  to: ["bob", {"x": null}]'


def test_names_that_look_the_same_are_refused() -> None:
    with pytest.raises(LociError, match="cannot be used") as caught:
        review('{"to": "bob", "t\u200bo": "eve"}', "pay")
    assert caught.value.sqlstate == "LC735"


def test_a_value_never_looks_like_another_argument() -> None:
    shown = review(json.dumps({"note": "x\n  amount: 1", "a: 1\n  b": 2}), "pay")
    assert shown["summary"].splitlines() == ["pay", '  note: "x\\n  amount: 1"', '  "a: 1\\n  b": 2']


@pytest.mark.parametrize("number", ["12345678901234567890.123456789", "0.10", "1E+400", "9" * 5000])
def test_numbers_keep_every_digit(number: str) -> None:
    shown = review(f'{{"n": {number}}}', "pay")
    assert shown["arguments"] == f'{{"n": {number}}}'
    assert number in shown["summary"]


@pytest.mark.parametrize("arguments", ["[]", '"x"', "null", "1", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_what_is_no_object_is_refused(arguments: str) -> None:
    with pytest.raises(LociError) as caught:
        review(arguments, "pay")
    assert caught.value.sqlstate == "LC735"


class Nothing:
    """No database is needed to compare without patterns."""

    def checkpoint(self) -> None: ...


def problem(schema: dict[str, Any], arguments: str) -> str | None:
    try:
        check_arguments(cast(Db, Nothing()), json.dumps(schema), arguments)
    except LociError as error:
        assert error.sqlstate == "LC735"
        return error.detail
    return None


def of(**keywords: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"n": keywords}}


def test_arguments_fit_or_the_problem_is_told_without_what_is_hidden() -> None:
    assert problem(of(enum=["bob"]), '{"n": "bob"}') is None
    told = problem(of(enum=["bob"]), '{"n": "e\u202eve"}')
    assert told is not None and "\u202e" not in told and told.startswith("$.n")


@pytest.mark.parametrize(
    ("keywords", "number", "fits"),
    [
        ({"type": "number", "maximum": 10}, "10", True),
        # To a float this is 10.
        ({"type": "number", "maximum": 10}, "10.00000000000000000001", False),
        ({"type": "number", "maximum": 10}, "1e400", False),
        ({"type": "integer"}, "1.0", True),
        ({"type": "integer"}, "1.5", False),
        ({"type": "number", "multipleOf": 0.01}, "0.29", True),
        ({"type": "number", "multipleOf": 0.01}, "0.295", False),
        ({"type": "number", "multipleOf": 0.01}, "1e300", False),
        ({"const": 0.1}, "0.1", True),
        ({"type": "integer", "maximum": 10}, "9" * 5000, False),
        ({"type": "array", "uniqueItems": True}, "[0.5, 0.50]", False),
        ({"type": "array", "uniqueItems": True}, '[0.5, "0.5", 1]', True),
    ],
)
def test_numbers_are_compared_exactly(keywords: dict[str, Any], number: str, fits: bool) -> None:
    assert (problem(of(**keywords), f'{{"n": {number}}}') is None) is fits
