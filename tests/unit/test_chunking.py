"""Chunks: nothing lost, limits kept, cut where a reader would."""

from __future__ import annotations

import itertools
import random
from typing import Any
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loci_udfs.chunking import Chunk, iter_split, iter_split_document, split
from loci_udfs.errors import LociError
from loci_udfs.extract import Document, Heading, to_document
from loci_udfs.tokens import TOKENIZERS, Tokenizer, get_tokenizer


class Words:
    """One token a word: makes expectations easy to read."""

    def count(self, text: str) -> int:
        return len(text.split())


def check(text: str, chunks: list[Chunk], limit: int, overlap: int, tokenizer: Tokenizer) -> None:
    covered = 0
    previous: Chunk | None = None
    for chunk in chunks:
        end = chunk.start + len(chunk.content)
        assert text[chunk.start : end] == chunk.content
        assert chunk.content and not chunk.content[0].isspace() and not chunk.content[-1].isspace()
        assert chunk.token_count == tokenizer.count(chunk.content) <= limit
        assert not text[covered : chunk.start].strip(), "a gap with content"
        assert end > covered, "a chunk adds something"
        if previous is not None:
            assert chunk.start > previous.start
            assert tokenizer.count(text[chunk.start : covered]) <= overlap
        covered = end
        previous = chunk
    assert not text[covered:].strip()


_PIECES = st.sampled_from(
    [
        " ", "\n", "\n\n", "\t", "   \n", ". ", "! ", "。", "…\" ", "the ", "memory ", "palace ", "Übergrößenträger ",
        "漢字仮名交じり文", "שלום עולם ", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇫🇷", "e\u0301\u0323", "x" * 70, "deadbeef" * 30, "-" * 200,
        "\u200b", "\u00a0", "\u3000", "0123456789" * 8, "word " * 60, "One sentence. Another one. " * 20, "line\n" * 50,
    ]
)  # fmt: skip
_TEXTS = st.lists(st.one_of(_PIECES, st.text(max_size=30)), max_size=60).map("".join)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60)
@given(text=_TEXTS, limit=st.integers(100, 300), share=st.floats(0, 0.5))
def test_laws_hold_for_any_text(name: str, text: str, limit: int, share: float) -> None:
    tokenizer = get_tokenizer(name)
    overlap = int(limit * share)
    chunks = split(text, chunk_tokens=limit, overlap_tokens=overlap, tokenizer=tokenizer)
    check(text, chunks, limit, overlap, tokenizer)
    assert chunks == split(text, chunk_tokens=limit, overlap_tokens=overlap, tokenizer=tokenizer)


class Erratic:
    """A longer text has fewer tokens now and then, as with byte pairs, only more so."""

    def count(self, text: str) -> int:
        return len(text) // 4 + crc32(text.encode()) % 80 if text else 0


@settings(max_examples=200)
@given(seed=st.integers(0, 10**9), overlap=st.integers(0, 50))
@example(seed=390114, overlap=47)
def test_laws_hold_for_an_erratic_tokenizer(seed: int, overlap: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices("abcdefgh .\n", k=3000))
    check(text, split(text, chunk_tokens=100, overlap_tokens=overlap, tokenizer=Erratic()), 100, overlap, Erratic())


@settings(max_examples=60)
@given(text=_TEXTS, data=st.data())
def test_laws_hold_with_headings_anywhere(text: str, data: st.DataObject) -> None:
    offsets = sorted(data.draw(st.sets(st.integers(0, max(len(text) - 1, 0)), max_size=8)))
    headings = [Heading(offset, 1 + offset % 6, f"h{offset}") for offset in offsets]
    tokenizer = get_tokenizer("cl100k")
    chunks = list(
        iter_split_document(Document(text, None, headings), chunk_tokens=100, overlap_tokens=40, tokenizer=tokenizer)
    )
    check(text, chunks, 100, 40, tokenizer)
    for chunk in chunks:
        in_force = [heading.title for heading in headings if heading.offset <= chunk.start]
        assert (chunk.heading is None) == (not in_force)
        if in_force:
            assert chunk.heading is not None and chunk.heading.endswith(in_force[-1])


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(
    "text",
    [
        "".join(random.Random(1).choices("ABCDEFabcdef0123456789+/", k=60_000)),
        "".join(chr(random.Random(2).randrange(0x4E00, 0x9FFF)) for _ in range(1)) * 20_000,
        "".join(map(chr, random.Random(3).choices(range(0x4E00, 0x9FFF), k=20_000))),
        "x" + " " * 100_000 + "y",
        "-" * 50_000,
        "a\n" * 20_000,
        "😀" * 10_000,
    ],
    ids=["base64", "one-character", "han", "spaces", "dashes", "short-lines", "emoji"],
)
def test_text_that_is_one_piece(name: str, text: str) -> None:
    tokenizer = get_tokenizer(name)
    chunks = split(text, tokenizer=tokenizer)
    check(text, chunks, 400, 50, tokenizer)
    assert len(chunks) <= 2 + tokenizer.count(text) // 300 + len(text) // (12 * 400)


@pytest.mark.parametrize("text", ["", " ", "\n\n\t \n", "\u3000\u00a0"])
def test_nothing_from_nothing(text: str) -> None:
    assert split(text, tokenizer=get_tokenizer("cl100k")) == []


def test_short_text_is_one_chunk_without_its_margins() -> None:
    assert split("\n  Hello world. \n", tokenizer=Words()) == [Chunk("Hello world.", 3, 2)]


def _sentences(number: int, words: int = 10) -> str:
    return " ".join("word " * (words - 1) + "end." for _ in range(number))


def test_paragraph_before_line_before_sentence_before_word() -> None:
    text = f"{_sentences(7)}\n\n{_sentences(1)}\n{_sentences(1)} {_sentences(5)}"
    assert split(text, chunk_tokens=100, overlap_tokens=0, tokenizer=Words())[0].content == _sentences(7)
    text = f"{_sentences(7)}\n{_sentences(1)} {_sentences(6)}"
    assert split(text, chunk_tokens=100, overlap_tokens=0, tokenizer=Words())[0].content == _sentences(7)
    text = f"{_sentences(1, 75)} {'word ' * 200}"
    assert split(text, chunk_tokens=100, overlap_tokens=0, tokenizer=Words())[0].content == _sentences(1, 75)
    first = split("word " * 200, chunk_tokens=100, overlap_tokens=0, tokenizer=Words())[0]
    assert first.content.split() == ["word"] * first.token_count and first.token_count >= 95


def test_a_boundary_in_the_first_half_does_not_make_a_small_chunk() -> None:
    text = f"Title\n\n{_sentences(40)}"
    assert split(text, chunk_tokens=100, overlap_tokens=0, tokenizer=Words())[0].token_count >= 90


def test_characters_of_several_code_points_stay_whole() -> None:
    for cluster in ("👩‍👩‍👧‍👦", "👍🏽", "e\u0301\u0323"):
        text = cluster * 2000
        for chunk in split(text, chunk_tokens=100, overlap_tokens=20, tokenizer=get_tokenizer("cl100k")):
            assert chunk.start % len(cluster) == 0
            assert len(chunk.content) % len(cluster) == 0


def test_overlap_begins_with_a_whole_sentence_or_word() -> None:
    text = " ".join(f"Sentence {number} has six words here." for number in range(100))
    chunks = split(text, chunk_tokens=100, overlap_tokens=30, tokenizer=Words())
    assert all(chunk.content.startswith("Sentence") for chunk in chunks)
    shared = [a.start + len(a.content) - b.start for a, b in itertools.pairwise(chunks)]
    assert min(shared) > 60, "each repeats some of its predecessor"
    assert split(text, chunk_tokens=100, overlap_tokens=0, tokenizer=Words())[1].start > chunks[1].start


def test_heading_paths_and_sections() -> None:
    body = _sentences(7)
    text = f"# Loci\n\n{body}\n\n## Install\n\n{body}\n\n### Debian\n\n{body}\n\n## Use\n\n{body}\n"
    document = to_document(text, "text/markdown")
    chunks = list(iter_split_document(document, chunk_tokens=100, overlap_tokens=20, tokenizer=Words()))
    assert [chunk.heading for chunk in chunks] == [
        "Loci", "Loci > Install", "Loci > Install > Debian", "Loci > Use",
    ]  # fmt: skip
    assert [chunk.content.split("\n")[0] for chunk in chunks] == ["# Loci", "## Install", "### Debian", "## Use"]
    check(document.text, chunks, 100, 20, Words())


def test_a_heading_is_not_left_at_the_end_of_a_chunk() -> None:
    text = f"{_sentences(9)}\n\n## Next\n\n{_sentences(9)}"
    # The heading itself would still fit.
    chunks = list(
        iter_split_document(to_document(text, "text/markdown"), chunk_tokens=100, overlap_tokens=0, tokenizer=Words())
    )
    assert "Next" not in chunks[0].content
    assert chunks[0].heading is None
    assert chunks[1].heading == "Next"


def test_a_heading_as_long_as_a_book_is_shortened_in_the_path() -> None:
    document = Document("text", None, [Heading(0, 1, "x" * 1000)])
    heading = next(iter_split_document(document, tokenizer=Words())).heading
    assert heading is not None and len(heading) == 120 and heading.endswith("…")


@pytest.mark.parametrize(
    "numbers", [{"chunk_tokens": 3}, {"chunk_tokens": 2001}, {"overlap_tokens": -1}, {"overlap_tokens": 201}]
)
def test_numbers_out_of_range(numbers: dict[str, Any]) -> None:
    with pytest.raises(LociError) as raised:
        # Not even iterated: a mistake shows before the first chunk.
        iter_split("text", tokenizer=Words(), **numbers)
    assert raised.value.sqlstate == "LC202"
    assert raised.value.hint
    split("text", chunk_tokens=4, overlap_tokens=2, tokenizer=Words())
    split("text", chunk_tokens=2000, overlap_tokens=1000, tokenizer=Words())


def test_chunks_come_one_by_one() -> None:
    class Counting(Words):
        characters = 0

        def count(self, text: str) -> int:
            self.characters += len(text)
            return super().count(text)

    tokenizer = Counting()
    text = "word " * 200_000
    next(iter_split(text, tokenizer=tokenizer))
    assert tokenizer.characters < 50_000
