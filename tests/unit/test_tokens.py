"""Token counts: the models' own, without a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.errors import LociError
from loci_udfs.providers.local import engine
from loci_udfs.tokens import TOKENIZERS, E5Tokenizer, get_tokenizer


def test_byte_pair_counts_are_openais() -> None:
    # Published examples of tiktoken.
    assert get_tokenizer("cl100k").count("tiktoken is great!") == 6
    assert get_tokenizer("cl100k").count("お誕生日おめでとう") == 9
    assert get_tokenizer("o200k").count("お誕生日おめでとう") == 8


@pytest.mark.parametrize("name", TOKENIZERS)
def test_odd_text_is_counted(name: str) -> None:
    tokenizer = get_tokenizer(name)
    assert tokenizer.count("") == 0
    assert tokenizer.count("a\ud800b") > 0
    assert tokenizer.count("before\0after") > tokenizer.count("before")
    assert tokenizer.count("<|endoftext|>") > 1, "a special token's name in a text is only text"


def test_loaded_once() -> None:
    assert get_tokenizer("cl100k") is get_tokenizer("cl100k")


def test_unknown_name() -> None:
    with pytest.raises(LociError) as raised:
        get_tokenizer("gpt2")
    assert raised.value.sqlstate == "LC220"
    assert raised.value.hint is not None
    assert all(name in raised.value.hint for name in TOKENIZERS)


_AWKWARD = st.sampled_from(" \n\t.,-<\u200b\u3000\u00a0\u2028\u0301\u0085▁漢字שלום👍🏽é½ﷺ")


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), _AWKWARD), max_size=200))
def test_cached_e5_count_is_the_engines(text: str) -> None:
    text = text.strip(" \t\n")
    # The engine counts its prefix and both end marks, four tokens, as well.
    expected = engine().token_count(text) - 4 if text else 0
    assert get_tokenizer("e5").count(text) == expected


def test_e5_prefix_and_cache_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loci_udfs.tokens._MOST_CACHED_WORDS", 10)
    tokenizer = E5Tokenizer(engine())
    words = [f"word{number}" for number in range(100)]
    assert tokenizer.count(" ".join(words)) == engine().token_count(" ".join(words)) - 4
    assert len(tokenizer._inner) <= 10
