"""Cutting text into overlapping chunks of a bounded number of tokens.

One chunk at a time: find how far the limit reaches, then step back to the best place to cut. Time
is linear in the text, memory constant, and no step takes more than some tens of milliseconds, also
on a text without a single space.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loci_udfs.errors import LociError
from loci_udfs.tokens import Tokenizer

if TYPE_CHECKING:
    from loci_udfs.extract import Document, Heading

# What a source may ask for. A model that takes short texts only can leave less of it.
MIN_CHUNK_TOKENS = 100
MAX_CHUNK_TOKENS = 2000
_FEWEST_TOKENS = 4

# A token can be a whole ruler of dashes or spaces; a chunk is not longer than this times its limit.
_MOST_CHARS_PER_TOKEN = 16
_NOT_SPACE = re.compile(r"\S")
_WORD_START = re.compile(r"(?<=\s)\S")
_SENTENCE_END = re.compile(r"[.!?…][\"'’”)\]]{0,3}\s+|[。！？｡][\"'’”」』）]{0,3}")
_LONGEST_CLUSTER = 32
_LONGEST_TITLE = 120


@dataclass(frozen=True, slots=True)
class Chunk:
    """content == text[start:start + len(content)]; it begins and ends with a non-space character.

    page, last_page: where the document has pages, those (from 1) that what is new in it begins and ends on.
    """

    content: str
    start: int
    token_count: int
    heading: str | None = None
    page: int | None = None
    last_page: int | None = None

    @property
    def metadata(self) -> dict[str, str | int]:
        """Where in its document it is, for those who cite it: heading, page, and last_page if that is another."""
        where: dict[str, str | int] = {}
        if self.heading:
            where["heading"] = self.heading
        if self.page is not None:
            where["page"] = self.page
        if self.last_page is not None and self.last_page != self.page:
            where["last_page"] = self.last_page
        return where


def split(text: str, *, chunk_tokens: int = 400, overlap_tokens: int = 50, tokenizer: Tokenizer) -> list[Chunk]:
    """All chunks of iter_split()."""
    return list(iter_split(text, chunk_tokens=chunk_tokens, overlap_tokens=overlap_tokens, tokenizer=tokenizer))


def iter_split(
    text: str,
    *,
    chunk_tokens: int = 400,
    overlap_tokens: int = 50,
    tokenizer: Tokenizer,
    headings: Sequence[Heading] = (),
) -> Iterator[Chunk]:
    """Yield the chunks of text in order; every non-space character is in at least one.

    A chunk has at most chunk_tokens tokens (4..2000) and shares at most overlap_tokens (0..50 %)
    with its predecessor. Cuts fall before a heading, else at a paragraph, line, sentence or word,
    the first of these found in the second half of the chunk, else between characters. A heading
    starts a section, so nothing of the section before is repeated there.
    headings: in order of offset. Raises LC202, before the first chunk, for numbers out of range.
    """
    if not _FEWEST_TOKENS <= chunk_tokens <= MAX_CHUNK_TOKENS:
        raise LociError(
            "chunk_tokens out of range",
            detail=f"chunk_tokens is {chunk_tokens}.",
            hint=f"Use {_FEWEST_TOKENS} to {MAX_CHUNK_TOKENS}.",
            sqlstate="LC202",
        )
    if not 0 <= overlap_tokens <= chunk_tokens // 2:
        raise LociError(
            "chunk_overlap out of range",
            detail=f"chunk_overlap is {overlap_tokens} with chunk_tokens {chunk_tokens}.",
            hint=f"Use 0 to {chunk_tokens // 2}, half of chunk_tokens.",
            sqlstate="LC202",
        )
    cuts = [heading.offset for heading in headings]
    return _chunks(text, chunk_tokens, overlap_tokens, tokenizer.count, cuts)


def iter_split_document(
    document: Document, *, chunk_tokens: int = 400, overlap_tokens: int = 50, tokenizer: Tokenizer
) -> Iterator[Chunk]:
    """iter_split() of a document's text, each chunk with its pages and the heading path in force at its start.

    The path reads 'A > B'; None before the first heading. Raises LC202 as iter_split() does.
    """
    chunks = iter_split(
        document.text,
        chunk_tokens=chunk_tokens,
        overlap_tokens=overlap_tokens,
        tokenizer=tokenizer,
        headings=document.headings,
    )
    chunks = _with_paths(chunks, document.headings)
    return _with_pages(chunks, document) if document.pages else chunks


def _with_pages(chunks: Iterator[Chunk], document: Document) -> Iterator[Chunk]:
    covered = 0
    for chunk in chunks:
        end = chunk.start + len(chunk.content)
        # What is repeated from the chunk before is cited from there.
        first = bisect_right(document.pages, _skip_space(document.text, max(chunk.start, covered)))
        covered = end
        yield replace(chunk, page=first, last_page=bisect_right(document.pages, end - 1))


def _with_paths(chunks: Iterator[Chunk], headings: Sequence[Heading]) -> Iterator[Chunk]:
    stack: list[Heading] = []
    seen = 0
    path: str | None = None
    for chunk in chunks:
        before = seen
        while seen < len(headings) and headings[seen].offset <= chunk.start:
            while stack and stack[-1].level >= headings[seen].level:
                stack.pop()
            stack.append(headings[seen])
            seen += 1
        if seen > before:
            path = " > ".join(_shorten(heading.title) for heading in stack)
        yield replace(chunk, heading=path)


def _shorten(title: str) -> str:
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1].rstrip() + "…"


def _chunks(text: str, limit: int, overlap: int, count: Callable[[str], int], cuts: Sequence[int]) -> Iterator[Chunk]:
    size = len(text)
    ratio = 4.0  # characters a token, learnt from chunk to chunk
    covered = 0  # everything before it is in a chunk
    said = 0  # where the text of the last chunk ends, without the white space after it
    start = _skip_space(text, 0)
    while start < size:
        most = min(size - start, limit * _MOST_CHARS_PER_TOKEN)
        span = _fit(lambda n, s=start: count(text[s : s + n].rstrip()), most, limit, ratio)  # type: ignore[misc]
        reach = start + max(span, 1)
        if reach <= covered < size:
            start = _skip_space(text, covered)
            continue
        end = _cut(text, start, covered, reach, cuts)
        content = text[start:end].rstrip()
        tokens = count(content)
        # A prefix can have a token more than the whole (a word cut in two), so the limit is
        # checked on the chunk itself.
        while tokens > limit and end - start > 1 and end > covered:
            end = _cut(text, start, covered, max(start + 1, end - (end - start) // 16 - 1), cuts)
            content = text[start:end].rstrip()
            tokens = count(content)
        if covered < size and (end <= covered or start + len(content) <= said):
            start = _skip_space(text, covered)
            continue
        yield Chunk(content, start, tokens)
        covered, said = end, start + len(content)
        following = _skip_space(text, end)
        if following >= size:
            return
        ratio = max(len(content) / max(tokens, 1), 0.25)
        if overlap and not _is_member(cuts, following):
            following = _overlap_start(text, start, start + len(content), following, overlap, count, ratio)
        start = following


def _fit(measure: Callable[[int], int], most: int, limit: int, ratio: float) -> int:
    """A length of 0..most that measures at most limit, and close to it or to most."""
    low, high = 0, most + 1
    length = min(most, max(1, int(limit * ratio)))
    for attempt in range(24):
        tokens = measure(length)
        if tokens <= limit:
            low = length
            if length == most or tokens >= limit * 0.95:
                break
        else:
            high = length
        if high - low <= 1:
            break
        if attempt < 5:
            length = int(length * limit * 0.98 / max(tokens, 1))
        else:
            length = (low + high) // 2
        length = min(max(length, low + 1), high - 1)
    return low


def _cut(text: str, start: int, covered: int, reach: int, cuts: Sequence[int]) -> int:
    """The best place to end a chunk of text[start:reach], after covered if reach is."""
    if reach >= len(text):
        return len(text)
    low = max(covered, start + (reach - start) // 2)
    found = bisect_right(cuts, reach) - 1
    if found >= 0 and cuts[found] > low:
        return cuts[found]
    return _boundary(text, low, reach)


def _boundary(text: str, low: int, reach: int) -> int:
    found = text.rfind("\n\n", low, reach)
    if found >= 0:
        return found + 2
    found = text.rfind("\n", low, reach)
    if found >= 0:
        return found + 1
    found = max((sentence.end() for sentence in _SENTENCE_END.finditer(text, low, reach)), default=-1)
    if found >= 0:
        return found
    for end in range(reach, low, -1):
        if text[end - 1].isspace() or text[end].isspace():
            return end
    for end in range(reach, max(low, reach - _LONGEST_CLUSTER), -1):
        if not _joins(text, end):
            return end
    return reach


def _joins(text: str, position: int) -> bool:
    """Whether a cut at position would part what is one character to a reader."""
    after, before = text[position], text[position - 1]
    if after < "\u0300":
        return False
    return (
        after == "\u200d"
        or before == "\u200d"
        or unicodedata.category(after)[0] == "M"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\U0001f1e6" <= after <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff")
    )


def _overlap_start(
    text: str, start: int, end: int, following: int, overlap: int, count: Callable[[str], int], ratio: float
) -> int:
    """Where the chunk after text[start:end] begins: within it, or at following for no overlap."""
    most = min(end - start - 1, overlap * _MOST_CHARS_PER_TOKEN)
    if most < 1:
        return following
    span = _fit(lambda n: count(text[end - n : end].strip()), most, overlap, ratio)
    if span == 0:
        return following
    begin = end - span
    middle = begin + span // 2
    # As with the end of a chunk: a paragraph, a line, a sentence, a word, or any character.
    candidates: list[int] = []
    for separator in ("\n\n", "\n"):
        found = text.find(separator, begin - 1, middle)
        if found >= 0:
            candidates.append(found + len(separator))
    sentence = _SENTENCE_END.search(text, begin, middle)
    if sentence:
        candidates.append(sentence.end())
    word = _WORD_START.search(text, begin, end)
    if word:
        candidates.append(word.start())
    else:
        candidates.extend(p for p in range(begin, min(end, begin + _LONGEST_CLUSTER)) if not _joins(text, p))
    for candidate in candidates[:8]:
        position = _skip_space(text, candidate)
        if start < position < end and count(text[position:end]) <= overlap:
            return position
    return following


def _skip_space(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return found.start() if found else len(text)


def _is_member(ordered: Sequence[int], value: int) -> bool:
    found = bisect_left(ordered, value)
    return found < len(ordered) and ordered[found] == value
