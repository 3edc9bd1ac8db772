"""JSON out of what a model wrote: in a fence, among prose, with the small mistakes that models make.

What is unambiguous is repaired: trailing and missing commas, comments, single and typographic quotes, names without
quotes, Python's True, False and None, line ends in strings, brackets that were never closed because the answer was cut
off. Each character is looked at a bounded number of times, whatever the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

# jsonb would take more, but nobody means it.
_DEEPEST = 200
# How many places of a text are tried, the best ones first.
_MOST_CANDIDATES = 100
_LONGEST_NUMBER = 1000
# Between two checkpoints.
_STEPS = 5000

_FENCE = re.compile(r"^[ \t]{0,8}(`{3,}|~{3,})[ \t]*[\w+-]{0,20}[ \t]*$", re.MULTILINE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_STRICT_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"[A-Za-z_$][\w$-]{0,200}")
_BLANK = re.compile(r"[ \t\r\n\f\v\u00a0\ufeff]+")
_PLAIN = {quote: re.compile(rf"[^{quote}\\]+") for quote in "\"'”"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTES = {'"': '"', "'": "'", "“": "”"}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\n": ""}
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


# What is returned where there is nothing: null is something.
MISSING: Any = _Missing()


def extract(text: str, fits: Callable[[Any], bool] | None = None, checkpoint: Callable[[], None] | None = None) -> Any:
    """The JSON value that text holds, MISSING without one.

    All of the text, if it is JSON; else of the objects and lists in it those within fences first, those that need no
    repair before those that do, complete ones before those that were cut off, long ones before short ones. fits: only
    what it accepts is taken. checkpoint: called now and then. Texts that cannot be stored as jsonb are cleaned: see
    storable().
    """
    for value in _values(text, checkpoint or (lambda: None)):
        if fits is None or fits(value):
            return value
    return MISSING


def _values(text: str, checkpoint: Callable[[], None]) -> Iterator[Any]:
    try:
        whole = storable(_strict(text.strip().lstrip("\ufeff")))
    except ValueError:
        pass
    else:
        yield whole
        if isinstance(whole, str):
            # Some models quote twice.
            yield from _values(whole, checkpoint)
            return
    found: list[tuple[tuple[bool, bool, bool, int], int, Any]] = []
    fences = _fences(text)
    position = 0
    while len(found) < _MOST_CANDIDATES:
        start = _next_start(text, position)
        if start < 0:
            break
        checkpoint()
        parser = _Parser(text, start, checkpoint)
        try:
            value = parser.run()
        except _NotJson:
            # What was read up to here is not read again.
            position = max(parser.position, start + 1)
            continue
        position = max(parser.position, start + 1)
        if parser.cut_off and not value:
            # A bracket, and no more.
            continue
        fenced = any(begin <= start < end for begin, end in fences[:_MOST_CANDIDATES])
        rank = (not fenced, parser.cut_off, parser.repaired, start - parser.position)
        found.append((rank, start, storable(value)))
    for _, _, value in sorted(found, key=lambda item: item[:2]):
        yield value


def _next_start(text: str, position: int) -> int:
    match = _START.search(text, position)
    return match.start() if match else -1


_START = re.compile(r"[\[{]")


def _fences(text: str) -> list[tuple[int, int]]:
    """Where fenced blocks are; one that nobody closed ends with the text."""
    spans: list[tuple[int, int]] = []
    opened: tuple[str, int] | None = None
    for match in _FENCE.finditer(text):
        mark = match[1]
        if opened is None:
            opened = (mark, match.end())
        elif mark[0] == opened[0][0] and len(mark) >= len(opened[0]):
            spans.append((opened[1], match.start()))
            opened = None
    if opened is not None:
        spans.append((opened[1], len(text)))
    return spans


def _strict(text: str) -> Any:
    """json.loads() without what jsonb does not know; raises ValueError."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    if len(text) > 2 and text[0] not in '{["-0123456789tfn':
        raise ValueError
    try:
        return json.loads(text, parse_constant=refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError from None


def _finite(number: str) -> float:
    value = float(number[:_LONGEST_NUMBER])
    if not math.isfinite(value):
        raise ValueError(number)
    return value


def _whole(number: str) -> int:
    if len(number) > _LONGEST_NUMBER:
        raise ValueError("number too long")
    return int(number)


def storable(value: Any) -> Any:
    """value as jsonb can hold it: without NUL, and with U+FFFD for halves of a surrogate pair.

    Raises ValueError for what is nested too deeply.
    """
    box = [value]
    level: list[Any] = [box]
    for _ in range(_DEEPEST + 2):
        following: list[Any] = []
        for place in level:
            items = list(place.items()) if isinstance(place, dict) else list(enumerate(place))
            if isinstance(place, dict):
                place.clear()
            for key, item in items:
                if isinstance(item, str):
                    item = storable_text(item)
                elif isinstance(item, dict | list):
                    item = item.copy()
                    following.append(item)
                place[storable_text(key) if isinstance(key, str) else key] = item
        if not following:
            return box[0]
        level = following
    raise ValueError("nested too deeply")


def storable_text(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text.replace("\0", ""))


class _NotJson(Exception):
    pass


class _Parser:
    """One object or list that begins at a place of a text. position: how far it has read."""

    def __init__(self, text: str, start: int, checkpoint: Callable[[], None]) -> None:
        self._text = text
        self._checkpoint = checkpoint
        self._steps = 0
        self.position = start
        self.repaired = False
        self.cut_off = False

    def run(self) -> Any:
        """Raises _NotJson where it is none."""
        root: Any = None
        # Containers that are open, each with the name that its next value gets.
        stack: list[tuple[Any, str | None]] = []
        name: str | None = None
        while True:
            # A value is due.
            opening = self._peek()
            if opening in "{[" and opening:
                self.position += 1
                container: Any = {} if opening == "{" else []
                if len(stack) >= _DEEPEST:
                    raise _NotJson
                if stack:
                    self._put(stack[-1][0], name, container)
                else:
                    root = container
                stack.append((container, name))
                fresh = True
            else:
                value = self._scalar()
                if value is MISSING:
                    return root
                self._put(stack[-1][0], name, value)
                fresh = False
            # Close what ends here, up to the place where the next value is due.
            while True:
                container = stack[-1][0]
                following = self._after(container, fresh)
                if following == "end":
                    return root
                if following == "close":
                    stack.pop()
                    fresh = False
                    if not stack:
                        return root
                    continue
                break
            if isinstance(container, dict):
                found = self._name()
                if found is None:
                    return root
                name = found
            else:
                name = None

    def _put(self, container: Any, name: str | None, value: Any) -> None:
        if isinstance(container, dict):
            container[name] = value
        else:
            container.append(value)

    def _after(self, container: Any, fresh: bool) -> str:
        """What follows within a container: "value", "close", or "end" of the text. fresh: nothing is in it yet."""
        closing = "}" if isinstance(container, dict) else "]"
        commas = 0
        while True:
            character = self._peek()
            if character == "":
                self.repaired = self.cut_off = True
                return "end"
            if character == ",":
                self.position += 1
                commas += 1
                continue
            break
        if character == closing:
            self.position += 1
            self.repaired |= commas > 0
            return "close"
        if character in "}]":
            raise _NotJson
        if commas != (0 if fresh else 1):
            if fresh or commas > 1:
                raise _NotJson
            # A comma was forgotten: only at a new line is that plain.
            if not self._new_line:
                raise _NotJson
            self.repaired = True
        return "value"

    def _name(self) -> str | None:
        """A name and its colon; None where the text ends before its value begins."""
        character = self._peek()
        if character in _QUOTES:
            name = self._string()
            if name is None:
                return None
        else:
            match = _WORD.match(self._text, self.position)
            if match is None:
                raise _NotJson
            self.repaired = True
            self.position = match.end()
            name = match[0]
        colon = self._peek()
        if colon == "":
            self.repaired = self.cut_off = True
            return None
        if colon != ":":
            raise _NotJson
        self.position += 1
        return name

    def _scalar(self) -> Any:
        """A string, number or word; MISSING where the text ends before it is complete enough to be one."""
        character = self._peek()
        if character == "":
            self.repaired = self.cut_off = True
            return MISSING
        if character in _QUOTES:
            start = self.position
            value = self._string(cut_off_too=True)
            assert value is not None, start
            return value
        match = _NUMBER.match(self._text, self.position)
        if match:
            return self._number(match[0])
        match = _WORD.match(self._text, self.position)
        if match is None:
            raise _NotJson
        word = match[0]
        if match.end() == len(self._text) and word not in _WORDS:
            # The beginning of a word that was cut off.
            if not any(known.startswith(word) for known in _WORDS):
                raise _NotJson
            self.position = match.end()
            self.repaired = self.cut_off = True
            return MISSING
        if word not in _WORDS:
            raise _NotJson
        self.repaired |= word[0].isupper()
        self.position = match.end()
        return _WORDS[word]

    def _number(self, number: str) -> Any:
        end = self.position + len(number)
        if len(number) > _LONGEST_NUMBER:
            self.position = end
            raise _NotJson
        if end == len(self._text):
            # More digits may have followed.
            self.position = end
            self.repaired = self.cut_off = True
            return MISSING
        if self._text[end].isalnum() or self._text[end] in "_.":
            self.position = end
            raise _NotJson
        self.position = end
        self.repaired |= _STRICT_NUMBER.fullmatch(number) is None
        try:
            if re.fullmatch(r"[-+]?\d+", number):
                return int(number)
            return _finite(number)
        except ValueError:
            raise _NotJson from None

    def _string(self, cut_off_too: bool = False) -> str | None:
        """From its opening quote on. Where the text ends within it: what there is of it, or None."""
        text, opening = self._text, self._text[self.position]
        closing = _QUOTES[opening]
        self.repaired |= opening != '"'
        self.position += 1
        parts: list[str] = []
        while True:
            match = _PLAIN[closing].match(text, self.position)
            if match:
                parts.append(match[0])
                self.repaired |= "\n" in match[0]
                self.position = match.end()
            if self.position >= len(text):
                break
            if text[self.position] == closing:
                if opening == '"' or self._ends_here(self.position + 1):
                    self.position += 1
                    return "".join(parts)
                # An apostrophe within single quotes.
                parts.append(closing)
                self.position += 1
                continue
            self._escape(parts)
        self.repaired = self.cut_off = True
        return "".join(parts) if cut_off_too else None

    def _ends_here(self, position: int) -> bool:
        blank = _BLANK.match(self._text, position, position + 100)
        position = blank.end() if blank else position
        return position >= len(self._text) or self._text[position] in ",:}]/#"

    def _escape(self, parts: list[str]) -> None:
        self._step()
        text, position = self._text, self.position
        following = text[position + 1 : position + 2]
        if following == "u":
            digits = text[position + 2 : position + 6]
            if re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                code = int(digits, 16)
                self.position += 6
                if 0xD800 <= code < 0xDC00 and text[self.position : self.position + 2] == "\\u":
                    low = text[self.position + 2 : self.position + 6]
                    if re.fullmatch(r"[dD][c-fC-F][0-9a-fA-F]{2}", low):
                        code = 0x10000 + ((code - 0xD800) << 10) + int(low, 16) - 0xDC00
                        self.position += 6
                parts.append(chr(code))
                return
            self.repaired = True
            if position + 2 + len(digits) >= len(text):
                self.position = len(text)
                return
            parts.append("\\u")
            self.position += 2
            return
        if following == "":
            self.position = len(text)
            return
        if following in _ESCAPES:
            parts.append(_ESCAPES[following])
        elif following in '"\\/':
            parts.append(following)
        elif following == "'":
            self.repaired = True
            parts.append(following)
        else:
            # A path of Windows, or a regular expression.
            self.repaired = True
            parts.append("\\" + following)
        self.position += 2

    def _step(self) -> None:
        self._steps += 1
        if self._steps % _STEPS == 0:
            self._checkpoint()

    def _peek(self) -> str:
        """The next character that is neither white space nor in a comment; "" at the end."""
        self._step()
        text = self._text
        self._new_line = False
        while True:
            match = _BLANK.match(text, self.position)
            if match:
                self._new_line |= "\n" in match[0]
                self.position = match.end()
            two = text[self.position : self.position + 2]
            if two == "//" or two[:1] == "#":
                end = text.find("\n", self.position)
            elif two == "/*":
                end = text.find("*/", self.position + 2)
                end = end + 2 if end >= 0 else -1
            else:
                return two[:1]
            self.repaired = True
            self.position = len(text) if end < 0 else end
