"""JSON out of what models write: what is repaired, what is refused, and that no text can hold it up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.extract_json import MISSING, extract, storable

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé_ \n'\"{", max_size=8), inner, max_size=4),
    max_leaves=20,
)
CONTAINERS = st.lists(JSON, min_size=1, max_size=4) | st.dictionaries(st.text("abc", max_size=8), JSON, min_size=1)
PROSE = st.text("abc XYZ.,!?\n'\"()-#/*:", max_size=60)


@given(JSON)
def test_json_is_itself(value: Any) -> None:
    assert extract(json.dumps(value)) == value
    assert extract(f"  \n{json.dumps(value, indent=2, ensure_ascii=False)}\n ") == value


@given(CONTAINERS, PROSE, PROSE)
def test_it_is_found_in_a_fence(value: Any, before: str, after: str) -> None:
    assert extract(f"{before}\n```json\n{json.dumps(value, indent=1)}\n```\n{after}") == value


@given(CONTAINERS, st.text("abc XYZ.,!?\n", max_size=60), st.text("abc XYZ.,!?\n", max_size=60))
def test_it_is_found_among_prose(value: Any, before: str, after: str) -> None:
    assert extract(before + json.dumps(value) + after) == value


@given(CONTAINERS)
def test_a_trailing_comma_is_nothing(value: Any) -> None:
    text = json.dumps(value)
    assert extract(f"{text[:-1]} ,\n{text[-1]}") == value


@given(CONTAINERS, st.data())
def test_what_was_cut_off_is_part_of_the_whole(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    found = extract(text[: data.draw(st.integers(1, len(text)))])
    assert found is MISSING or _is_part(found, value)


def _is_part(part: Any, whole: Any) -> bool:
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and _is_part(item, whole[key]) for key, item in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return len(part) <= len(whole) and all(_is_part(a, b) for a, b in zip(part, whole, strict=False))
    if isinstance(whole, str) and isinstance(part, str):
        # Half an escape of a character beyond U+FFFF is left out or marked.
        return whole.startswith(part.removesuffix("\ufffd"))
    return bool(part == whole)


@given(st.text(max_size=200))
def test_no_text_is_an_error_and_everything_found_can_be_stored(text: str) -> None:
    value = extract(text)
    if value is not MISSING:
        said = json.dumps(value, ensure_ascii=False, allow_nan=False)
        assert "\\u0000" not in said
        said.encode()


@given(st.text("{}[]\",:'\\/*#`tfn01e-. \n", max_size=80))
def test_no_brackets_are_an_error_either(text: str) -> None:
    value = extract(text)
    if value is not MISSING:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Sure! Here it is:\n{"a": 1}\nAnything else?', {"a": 1}),
        ("```\n[1, 2]\n```", [1, 2]),
        ("~~~json\n{'a': 1}\n~~~", {"a": 1}),
        ('```json\n{"a": 1}', {"a": 1}),
        ('See [1] and [2]: {"a": [1, 2, 3]}', {"a": [1, 2, 3]}),
        # Of several, what needs no repair; then the longest.
        ("{a: 1, bbbbbbbbbbbb: 2} {\"a\": 1}", {"a": 1}),
        ('{"a": 1} {"a": 1, "b": 2} {"c": 3}', {"a": 1, "b": 2}),
        ('{"a": 1, "b": 2}\n```json\n{"c": 3}\n```', {"c": 3}),
        ('{"a": 1,}', {"a": 1}),
        ("{'a': 'it\\'s', 'b': 'don't'}", {"a": "it's", "b": "don't"}),
        ('{"a": \'say "x"\'}', {"a": 'say "x"'}),
        ("{“a”: “b”}", {"a": "b"}),
        ('{"a": 1, // one\n # two\n "b": /* three */ 2}', {"a": 1, "b": 2}),
        ('{a: True, b_c: False, d-e: None}', {"a": True, "b_c": False, "d-e": None}),
        ('{"a": 1\n "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": .5, "b": +1, "c": 1.}', {"a": 0.5, "b": 1, "c": 1.0}),
        ('{"path": "C:\\Users\\dir"}', {"path": "C:\\Users\\dir"}),
        ('{"a": "x", "b": [1, {"c": "ye', {"a": "x", "b": [1, {"c": "ye"}]}),
        # A number or a word that may not be all of it is left out.
        ('{"a": 1, "b": 12', {"a": 1}),
        ('{"a": 1, "b": tr', {"a": 1}),
        ('{"a": 1, "b"', {"a": 1}),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ('{"a": "\\ud83d\\ude00 \\ud800 \\u0000!"}', {"a": "😀 \ufffd !"}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ("\ufeff{}", {}),
        ("null", None),
        ("42", 42),
    ],
)  # fmt: skip
def test_what_is_repaired(text: str, expected: Any) -> None:
    assert extract(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "no", "The answer is 42.", '{"a" 1}', '{"a": 1 "b": 2}', '{"a": }', "[1 2]", "{1: 2}", "[1}", '{"a"]',
        '{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', '{"a": undefined}', '{"a": 1x}', "[" + "9" * 2000 + "]", "}{",
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_refused(text: str) -> None:
    assert extract(text) is MISSING


def test_only_what_fits_is_taken() -> None:
    text = '{"long": "the longest of them all"} {"a": 1} {"a": "x"}'
    assert extract(text, lambda value: isinstance(value.get("a"), int)) == {"a": 1}
    assert extract(text, lambda value: "b" in value) is MISSING
    assert extract('"{\\"a\\": 1}"', lambda value: isinstance(value, dict)) == {"a": 1}


@pytest.mark.parametrize(
    "piece",
    [
        "[", "{", '{"a":', '{"', "{'a'x", "['", "'x", "{#\n", "{/*", '["\\', "```\n", "[1 ", "{ ", "[1,", '{"a":1}', "{a ",
        '{"a":“', "[0.0", "\\u", "['a' ", "{'a':'b'c", "/", "#", "``` ", "~~~\n{", '"', "[true ", "[nul",
    ],
)  # fmt: skip
def test_twice_the_text_takes_no_more_than_twice_the_time(piece: str) -> None:
    def steps(count: int) -> int:
        """Checkpoints of a run: they come every so many steps, or with every place that is tried."""
        seen = 0

        def checkpoint() -> None:
            nonlocal seen
            seen += 1

        extract(piece * count, None, checkpoint)
        return seen

    assert steps(8000) <= 2.2 * steps(4000) + 10


def test_a_checkpoint_can_end_it() -> None:
    def cancel() -> None:
        raise InterruptedError

    for text in ("[" * 100_000, '["' + "\\n" * 100_000, "{a " * 1000):
        with pytest.raises(InterruptedError):
            extract(text, None, cancel)


def test_no_nesting_is_too_deep_to_be_refused() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    extract(deep)
    with pytest.raises(ValueError):
        storable(json.loads("[" * 500 + "]" * 500))
