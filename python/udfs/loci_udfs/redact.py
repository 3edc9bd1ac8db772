"""Personal data and secrets in a text, replaced by placeholders such as [EMAIL] before a model sees it.

Patterns are rows of loci.redaction_patterns: regular expressions of Python's re module, each with a kind and perhaps
the name of a check that a find has to pass, so that an order number is not taken for a credit card. A pattern is only
taken if the number of steps it can take at one position of a text is bounded; so is the time for any text.
"""

from __future__ import annotations

import importlib
import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from loci_udfs.db import Db, entry
from loci_udfs.errors import LociError

_WINDOW = 1 << 16  # characters between two checkpoints
_LONGEST_PATTERN = 2000
_LONGEST_MATCH = 20_000
_LONGEST_LOOK = 100
_MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """kind gives the placeholder: email, [EMAIL]. needed: characters that every match contains."""

    name: str
    kind: str
    regex: re.Pattern[str]
    check: Callable[[str, int, int], int] | None
    needed: str
    longest: int


@dataclass(frozen=True, slots=True)
class Span:
    """text[start:end] is of this kind."""

    start: int
    end: int
    kind: str

    @property
    def placeholder(self) -> str:
        return f"[{self.kind.upper()}]"


def redact(
    text: str, patterns: Sequence[Pattern], checkpoint: Callable[[], None] | None = None
) -> tuple[str, dict[str, int]]:
    """text with placeholders, and how many of each kind there are."""
    spans = find(text, patterns, checkpoint)
    return replace(text, spans), dict(Counter(span.kind for span in spans))


def find(text: str, patterns: Sequence[Pattern], checkpoint: Callable[[], None] | None = None) -> list[Span]:
    """What the patterns match, in order and without overlap: matches that overlap are one, of the longer one's kind."""
    found = [span for pattern in patterns for span in _matches(text, pattern, checkpoint)]
    found.sort(key=lambda span: (span.start, -span.end))
    spans: list[Span] = []
    length = 0
    for span in found:
        if spans and span.start < spans[-1].end:
            last = spans[-1]
            if span.end - span.start > length:
                length = span.end - span.start
                spans[-1] = Span(last.start, max(last.end, span.end), span.kind)
            elif span.end > last.end:
                spans[-1] = Span(last.start, span.end, last.kind)
        else:
            spans.append(span)
            length = span.end - span.start
    return spans


def replace(text: str, spans: Iterable[Span], start: int = 0, end: int | None = None) -> str:
    """text[start:end] with placeholders; a span that is partly in it is replaced as far as it is."""
    end = len(text) if end is None else end
    parts: list[str] = []
    position = start
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        parts += (text[position : span.start], span.placeholder)
        position = min(span.end, end)
    parts.append(text[position:end])
    return "".join(parts)


def _matches(text: str, pattern: Pattern, checkpoint: Callable[[], None] | None) -> Iterable[Span]:
    size = len(text)
    group = "value" if "value" in pattern.regex.groupindex else 0
    position = 0
    for window in range(0, size, _WINDOW):
        if checkpoint is not None and window:
            checkpoint()
        window_end = min(window + _WINDOW, size)
        # Far enough for every match that begins in the window, and for what it looks ahead at.
        reach = min(window_end + pattern.longest + _LONGEST_LOOK, size)
        position = max(position, window)
        if pattern.needed and text.find(pattern.needed, position, reach) < 0:
            continue
        while position < window_end:
            match = pattern.regex.search(text, position, reach)
            if match is None or match.start() >= window_end:
                break
            start, end = match.span(group)
            if start >= 0 and pattern.check is not None:
                end = pattern.check(text, start, end)
            if start < end:
                yield Span(start, end, pattern.kind)
                position = max(end, match.start() + 1)
            else:
                position = match.start() + 1


# -- patterns -------------------------------------------------------------------------------------

_KIND = re.compile(r"[a-z][a-z0-9_]{0,30}")


@lru_cache(maxsize=1000)
def compile_pattern(name: str, kind: str, pattern: str, check: str | None = None) -> Pattern:
    """Raises LC281 for a pattern that cannot be used, LC282 for a check that does not exist."""
    if not _KIND.fullmatch(kind):
        raise _unusable(name, "The kind is not of the form a-z, digits and underscores.")
    if check is not None and check not in CHECKS:
        raise LociError(
            f"there is no check {check[:100]!r}", hint=f"Checks are {', '.join(sorted(CHECKS))}.", sqlstate="LC282"
        )
    if len(pattern) > _LONGEST_PATTERN:
        raise _unusable(name, f"It has more than {_LONGEST_PATTERN} characters.")
    parser: Any = importlib.import_module("re._parser")
    try:
        regex = re.compile(pattern)
        parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise _unusable(name, f"It is no regular expression: {error}.") from None
    shortest, longest = parsed.getwidth()
    if shortest == 0:
        raise _unusable(name, "It matches where there is nothing.")
    try:
        steps = _cost(parsed)[1]
    except _Unbounded as error:
        raise _unusable(name, str(error)) from None
    if longest > _LONGEST_MATCH:
        raise _unusable(name, f"It can match more than {_LONGEST_MATCH} characters.")
    if steps > _MOST_STEPS:
        raise _unusable(name, f"It can take {min(steps, 10**12)} steps at one place; {_MOST_STEPS} are allowed.")
    return Pattern(name, kind, regex, CHECKS[check] if check else None, _needed(parsed, regex), longest)


def _unusable(name: str, detail: str) -> LociError:
    return LociError(
        f"the redaction pattern {name[:100]!r} cannot be used",
        detail=detail,
        hint="Bound every repetition: {1,64} instead of + or *. Within another one make it possessive, {1,64}+, or atomic, (?>...).",
        sqlstate="LC281",
    )


_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")


class _Unbounded(Exception):
    """A repetition without an end, or a reference whose cost is not known."""


def _cost(sequence: Any) -> tuple[int, int]:
    """(ways to match, steps to try them all) of a parsed expression at one place, as upper bounds."""
    ways, steps = 1, 0
    for operation, argument in sequence:
        own_ways, own_steps = _cost_of(str(operation), argument)
        steps += ways * own_steps
        ways *= own_ways
        if steps > 10**15 or ways > 10**15:
            return 10**15, 10**15
    return ways, steps


def _cost_of(operation: str, argument: Any) -> tuple[int, int]:
    if operation in _SINGLE or operation == "AT":
        return 1, 1
    if operation == "SUBPATTERN":
        return _cost(argument[3])
    if operation == "ATOMIC_GROUP":
        return 1, _cost(argument)[1]
    if operation == "BRANCH":
        costs = [_cost(branch) for branch in argument[1]]
        return sum(ways for ways, _ in costs), sum(steps for _, steps in costs) + len(costs)
    if operation in ("ASSERT", "ASSERT_NOT"):
        if argument[1].getwidth()[1] > _LONGEST_LOOK:
            raise _Unbounded(f"It looks more than {_LONGEST_LOOK} characters ahead or behind.")
        return 1, _cost(argument[1])[1]
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, body = argument
        if most > _LONGEST_MATCH:
            raise _Unbounded("It repeats something without an end.")
        ways, steps = _cost(body)
        if operation == "POSSESSIVE_REPEAT":
            if len(body) != 1 or str(body[0][0]) not in _SINGLE:
                # Python before 3.11.5 reads these wrongly.
                raise _Unbounded("A repetition of more than one character is possessive: write (?>(?:...){1,8}).")
            return 1, most * steps
        if ways == 1:
            return most - least + 1, most * steps
        # Every repetition can go every way.
        total = min(ways ** min(most, 64), 10**15)
        return total, min(total * steps, 10**15)
    raise _Unbounded("It refers to a group." if operation.startswith("GROUPREF") else f"{operation} is not allowed.")


def _needed(parsed: Any, regex: re.Pattern[str]) -> str:
    """The longest run of plain characters that every match contains."""
    if regex.flags & re.IGNORECASE:
        return ""
    best = current = ""
    for operation, argument in _flat(parsed):
        if operation == "LITERAL":
            current += chr(argument)
            best = max(best, current, key=len)
        elif operation not in ("ASSERT", "ASSERT_NOT", "AT"):
            current = ""
    return best


def _flat(parsed: Any) -> Iterable[tuple[str, Any]]:
    for operation, argument in parsed:
        if str(operation) == "SUBPATTERN" and not argument[1] and not argument[2]:
            yield from _flat(argument[3])
        elif str(operation) == "ATOMIC_GROUP":
            yield from _flat(argument)
        elif str(operation) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[0] > 0:
            yield "END", None
            yield from _flat(argument[2])
            yield "END", None
        else:
            yield str(operation), argument


# -- checks: each takes a text and where a match lies in it, and says where what it accepts ends, or 0 ---------------

_SEPARATORS = " -.\u00a0\u202f\u2009\u2010\u2011\u2013/()"


def _ends(text: str, start: int, end: int) -> Iterable[tuple[int, str]]:
    """Ends of groups of characters within a match, the last one first, with what comes before without separators."""
    groups: list[tuple[int, str]] = []
    gathered = ""
    for position in range(start, end):
        character = text[position]
        if character in _SEPARATORS:
            continue
        gathered += character
        following = text[position + 1] if position + 1 < len(text) else " "
        if not (following.isascii() and following.isalnum()):
            groups.append((position + 1, gathered))
    return reversed(groups)


def _checked(valid: Callable[[str], bool]) -> Callable[[str, int, int], int]:
    """A check of everything but separators; a match may begin with what is valid and go on with something else."""

    def check(text: str, start: int, end: int) -> int:
        return next((found for found, value in _ends(text, start, end) if valid(value)), 0)

    return check


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + index % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _is_card(digits: str) -> bool:
    if not digits.isdecimal() or len(set(digits)) < 2:
        return False
    size, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    known = (
        (digits[0] == "4" and size in (16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and size == 16)
        or (two in (34, 37) and size == 15)
        or ((300 <= three <= 305 or two in (36, 38, 39)) and size in (14, 16))
        or ((four == 6011 or two == 65 or 644 <= three <= 649 or two == 62) and 16 <= size <= 19)
        or (3528 <= four <= 3589 and 16 <= size <= 19)
        or (four in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763) and 14 <= size <= 19)
    )
    return known and _luhn(digits)


_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23"
        "GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30"
        "NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20",
    )
}


def _is_iban(value: str) -> bool:
    value = value.upper()
    if len(value) != _IBAN_LENGTHS.get(value[:2]) or not value.isalnum() or not value.isascii():
        return False
    return int("".join(str(int(character, 36)) for character in value[4:] + value[:4])) % 97 == 1


def _is_steuer_id(digits: str) -> bool:
    if len(digits) != 11 or not digits.isdecimal() or digits[0] == "0":
        return False
    # Of the first ten digits exactly one appears twice or three times, all others at most once.
    if sorted(Counter(digits[:10]).values())[-2:] not in ([1, 2], [1, 3]):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def _is_nir(value: str) -> bool:
    value = value.upper().replace("2A", "19", 1) if value[5:7].upper() == "2A" else value.upper()
    if value[5:7] == "2B":
        value = value[:5] + "18" + value[7:]
    return len(value) == 15 and value.isdecimal() and 97 - int(value[:13]) % 97 == int(value[13:])


def _is_dni(value: str) -> bool:
    value = value.upper()
    digits = str("XYZ".find(value[0])) + value[1:-1] if value[0] in "XYZ" else value[:-1]
    return len(value) == 9 and digits.isdecimal() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == value[-1]


# What digits and letters count for at the first, third, ... place.
_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def _is_codice_fiscale(value: str) -> bool:
    value = value.upper()
    if len(value) != 16 or not value.isalnum() or not value.isascii():
        return False
    numbers = [int(character) if character.isdecimal() else ord(character) - 65 for character in value[:15]]
    total = sum(number if index % 2 else _ODD[number] for index, number in enumerate(numbers))
    return chr(65 + total % 26) == value[15]


def _is_ahv(digits: str) -> bool:
    if len(digits) != 13 or not digits.isdecimal():
        return False
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def _is_cpf(digits: str) -> bool:
    if len(digits) != 11 or not digits.isdecimal() or len(set(digits)) == 1:
        return False
    for size in (9, 10):
        total = sum(int(digit) * (size + 1 - index) for index, digit in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != int(digits[size]):
            return False
    return True


_THOUSANDS = re.compile(r"\+?[0-9]{1,3}(?:\.[0-9]{3}){1,6}")
_DECIMAL = re.compile(r"\+?[0-9]{1,12}\.[0-9]{1,15}")


def _phone(text: str, start: int, end: int) -> int:
    """7 to 15 digits, and no sum of money, coordinate or other decimal number."""
    value = text[start:end]
    digits = sum(character.isdecimal() for character in value)
    if not 7 <= digits <= 15 or _THOUSANDS.fullmatch(value) or _DECIMAL.fullmatch(value):
        return 0
    return end


_NAME = re.compile(r"[$%]?[{(]{0,2}[A-Za-z_][A-Za-z_.\-\[\](){}]*")


def _secret(text: str, start: int, end: int) -> int:
    """What somebody chose or drew by lot, not a word, a variable or a call."""
    value = text[start:end].rstrip(".")
    if _NAME.fullmatch(value) or len(set(value)) < 4:
        return 0
    return start + len(value)


def _token(text: str, start: int, end: int) -> int:
    """Drawn by lot: letters and digits, many different ones."""
    value = text[start:end]
    has_both = any(c.isdecimal() for c in value) and any(c.isalpha() for c in value)
    return end if has_both and len(set(value)) >= 8 else 0


CHECKS: dict[str, Callable[[str, int, int], int]] = {
    "card": _checked(_is_card),
    "iban": _checked(_is_iban),
    "luhn": _checked(lambda digits: digits.isdecimal() and _luhn(digits)),
    "phone": _phone,
    "secret": _secret,
    "token": _token,
    "br_cpf": _checked(_is_cpf),
    "ch_ahv": _checked(_is_ahv),
    "de_steuer_id": _checked(_is_steuer_id),
    "es_dni": _checked(_is_dni),
    "fr_nir": _checked(_is_nir),
    "it_codice_fiscale": _checked(_is_codice_fiscale),
}


# -- for the database -----------------------------------------------------------------------------


def load_patterns(rows: str | None) -> list[Pattern]:
    """Patterns of loci_private.redaction_of(), JSON text: [{name, kind, pattern, checksum}]."""
    return [
        compile_pattern(row["name"], row["kind"], row["pattern"], row["checksum"]) for row in json.loads(rows or "[]")
    ]


class Redaction:
    """What one organization wants redacted. marker: empty where that is nothing."""

    def __init__(self, marker: str, patterns: str | None) -> None:
        self.marker = marker
        self._patterns = load_patterns(patterns)

    def find(self, text: str, checkpoint: Callable[[], None]) -> list[Span]:
        """In the whole text of a row, before it is cut: half a card number is not recognized any more."""
        return find(text, self._patterns, checkpoint) if self._patterns else []

    def part(self, content: str, start: int, spans: Sequence[Span]) -> str | None:
        """The chunk that begins at start of the text, with placeholders; None where there are none in it."""
        end = start + len(content)
        first = bisect_right(spans, start, key=lambda span: span.end)
        last = bisect_left(spans, end, key=lambda span: span.start)
        if first >= last:
            return None
        return replace(content, [Span(max(s.start - start, 0), s.end - start, s.kind) for s in spans[first:last]])

    def add_context(self, chunks: list[dict[str, Any]], fit: Callable[[str], str | None]) -> None:
        """Complete 'redacted' of chunks to all that a model gets of them; None where that is context and content.

        fit: shortens what is longer than the model takes; placeholders can be longer than what they stand for.
        """
        shown: dict[str, str] = {}
        for chunk in chunks:
            context = chunk["context"] or ""
            if context not in shown:
                shown[context] = redact(context, self._patterns)[0] if self._patterns else context
            if shown[context] != context or chunk["redacted"] is not None:
                chunk["redacted"] = fit(
                    "\n\n".join(filter(None, (shown[context], chunk["redacted"] or chunk["content"])))
                )


@entry
def redact_texts(db: Db, texts: list[str] | None, patterns: str) -> list[str]:
    """Texts with placeholders, for queries. patterns: see load_patterns()."""
    compiled = load_patterns(patterns)
    return [redact(text, compiled, db.checkpoint)[0] for text in texts or []]


@entry
def check_pattern(db: Db, name: str, kind: str, pattern: str, check: str | None) -> None:
    """Raise LC281 or LC282 for a pattern that must not be stored."""
    compile_pattern(name, kind, pattern, check)
