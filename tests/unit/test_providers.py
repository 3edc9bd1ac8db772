"""Vectors from the built-in providers, and the check that every provider's vectors pass."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loci_udfs.errors import LociError
from loci_udfs.providers import get_provider
from loci_udfs.providers.base import Kind, ModelConfig, check_vectors, format_vector
from loci_udfs.providers.local import engine


def model(provider: str, dimensions: int, **more: Any) -> ModelConfig:
    return ModelConfig(1, f"test-{provider}", provider, dimensions, **more)


def embed(provider: str, texts: list[str], dimensions: int = 384, kind: Kind = "passage", **more: Any) -> Any:
    return get_provider(provider).embed(texts, kind, model(provider, dimensions, **more), lambda: None)


def fails(sqlstate: str, function: Callable[..., Any], *arguments: Any, **more: Any) -> LociError:
    with pytest.raises(LociError) as raised:
        function(*arguments, **more)
    assert raised.value.sqlstate == sqlstate
    return raised.value


# -- every provider -------------------------------------------------------------------------------


def test_unknown_provider() -> None:
    error = fails("LC221", get_provider, "os")
    assert error.hint is not None and "hash" in error.hint and "local" in error.hint


@pytest.mark.parametrize("provider", ["hash", "local"])
def test_shape_type_length_and_determinism(provider: str) -> None:
    texts = ["the memory palace", "漢字", "👍🏽", "a\ud800b", "before\0after", ".", "the memory palace"]
    vectors = embed(provider, texts)
    assert vectors.shape == (7, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors[0] == vectors[6]).all()
    assert (vectors == embed(provider, texts)).all()
    assert not np.allclose(vectors[4], embed(provider, ["before"])[0]), "a NUL does not end the text"


@pytest.mark.parametrize("provider", ["hash", "local"])
def test_nothing_to_do(provider: str) -> None:
    assert embed(provider, []).shape == (0, 384)


@pytest.mark.parametrize("provider", ["hash", "local"])
@pytest.mark.parametrize("kind", ["query", "passage"])
@pytest.mark.parametrize("text", ["", " \n\t"])
def test_empty_text(provider: str, kind: Kind, text: str) -> None:
    fails("LC235", embed, provider, ["x", text], kind=kind)


@pytest.mark.parametrize("provider", ["hash", "local"])
def test_checkpoint_ends_the_call(provider: str) -> None:
    class CancelError(Exception):
        pass

    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise CancelError

    with pytest.raises(CancelError):
        get_provider(provider).embed([f"text {i}" for i in range(300)], "passage", model(provider, 384), checkpoint)


@pytest.mark.parametrize("provider", ["hash", "local"])
def test_similar_texts_are_closer(provider: str) -> None:
    about, near, far = embed(
        provider,
        ["How do I create an index on a table?", "Creating an index on the table", "Whales are large marine mammals."],
    )
    assert about @ near > about @ far + 0.05


@pytest.mark.parametrize("provider", ["hash", "local"])
def test_no_threads(provider: str) -> None:
    program = (
        "import os\n"
        "from loci_udfs.providers import get_provider\n"
        "from loci_udfs.providers.base import ModelConfig\n"
        f"model = ModelConfig(1, 'm', {provider!r}, 384)\n"
        f"get_provider({provider!r}).embed(['one', 'two'] * 8, 'passage', model, lambda: None)\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


# -- hash -----------------------------------------------------------------------------------------


def test_hash_is_the_same_on_every_machine() -> None:
    vector = embed("hash", ["The memory palace, 漢字"], dimensions=8)[0]
    assert format_vector(vector) == EXPECTED_HASH


EXPECTED_HASH = "[0.424139,-0.19245,0.299912,0.19245,0.377964,-0.424139,0.514345,0.262265]"


@pytest.mark.parametrize("seed", ["0", "1"])
def test_hash_does_not_depend_on_pythonhashseed(seed: str) -> None:
    program = (
        "from loci_udfs.providers import get_provider\n"
        "from loci_udfs.providers.base import ModelConfig, format_vector\n"
        "model = ModelConfig(1, 'm', 'hash', 8)\n"
        "texts = ['The memory palace, 漢字']\n"
        "print(format_vector(get_provider('hash').embed(texts, 'query', model, lambda: None)[0]))\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == EXPECTED_HASH


@settings(max_examples=200)
@given(text=st.text(min_size=1, max_size=100).filter(lambda t: not t.isspace()), dimensions=st.integers(8, 100))
def test_hash_is_never_zero(text: str, dimensions: int) -> None:
    vector = embed("hash", [text], dimensions=dimensions)[0]
    assert np.isclose(np.linalg.norm(vector), 1, atol=1e-6)


def test_hash_folds_case_and_compatibility_forms() -> None:
    one, other = embed("hash", ["The ﬁrst HALF ①", "the first half 1"])
    assert np.allclose(one, other)


def test_hash_notices_word_order_a_little() -> None:
    first, swapped, same = embed("hash", ["dog bites man", "man bites dog", "dog bites man"])
    assert first @ same > 0.999 > first @ swapped > 0.5


def test_hash_likeness_of_scripts_without_spaces() -> None:
    about, near, far = embed("hash", ["東京都の天気予報", "東京の天気", "株式市場の動向"])
    assert about @ near > about @ far + 0.1


@pytest.mark.parametrize("dimensions", [8, 4000])
def test_hash_dimensions(dimensions: int) -> None:
    assert embed("hash", ["x"], dimensions=dimensions).shape == (1, dimensions)


@pytest.mark.parametrize("dimensions", [7, 4001, 0, -1])
def test_hash_dimensions_out_of_range(dimensions: int) -> None:
    fails("LC236", embed, "hash", ["x"], dimensions=dimensions)


# -- local ----------------------------------------------------------------------------------------


def test_local_query_and_passage_have_their_prefixes() -> None:
    query = embed("local", ["memory palace"], kind="query")[0]
    assert np.allclose(query, engine().query("memory palace"), atol=1e-6)
    passage = embed("local", ["memory palace"])[0]
    assert np.allclose(passage, engine().passage("memory palace"), atol=1e-6)
    assert not np.allclose(query, passage, atol=1e-3)


def test_local_has_one_dimension_only() -> None:
    fails("LC236", embed, "local", ["x"], dimensions=256)


def test_local_refuses_a_passage_over_the_limit() -> None:
    words = "word " * 508
    assert engine().token_count(words.strip()) == 512
    assert embed("local", [words.strip()]).shape == (1, 384)
    for text in (words + "word", "x" * 5_000_000):
        error = fails("LC230", embed, "local", ["fine", text])
        assert error.detail is not None and "Text 2 of 2" in error.detail
    fails("LC230", embed, "local", ["word " * 50], max_tokens=40)


def test_local_cuts_a_query_to_the_limit() -> None:
    beginning = "how do indexes work " * 100
    long = embed("local", [beginning + "x" * 5_000_000], kind="query")[0]
    assert engine().token_count(beginning, is_query=True) < 512 < engine().token_count(beginning * 2, is_query=True)
    assert long @ embed("local", [beginning], kind="query")[0] > 0.9


def test_local_ranks_by_meaning_across_languages() -> None:
    query = embed("local", ["Wie erstelle ich eine Sicherungskopie?"], kind="query")[0]
    backup, other = embed("local", ["Use pg_dump to make a backup of the database.", "The cat sleeps on the sofa."])
    assert query @ backup > query @ other


# -- check_vectors, format_vector -----------------------------------------------------------------

VECTORS = st.lists(
    st.lists(st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-30), min_size=3, max_size=3).filter(any),
    min_size=1,
    max_size=5,
)


@given(VECTORS)
def test_checked_vectors_keep_their_direction(vectors: list[list[float]]) -> None:
    checked = check_vectors(vectors, len(vectors), 3)
    assert checked.dtype == np.float32
    assert np.allclose(np.linalg.norm(checked, axis=1), 1, atol=1e-6)
    for before, after in zip(np.array(vectors), checked, strict=True):
        scaled = before / np.abs(before).max()
        assert np.allclose(scaled / np.linalg.norm(scaled), after, atol=1e-6)
    assert np.allclose(checked, check_vectors(np.array(vectors), len(vectors), 3))


def test_extreme_lengths_are_no_zero_and_no_infinity() -> None:
    checked = check_vectors([[3e300, 4e300], [3e-320, 4e-320]], 2, 2)
    assert np.allclose(checked, [[0.6, 0.8], [0.6, 0.8]], atol=1e-3)


@pytest.mark.parametrize(
    ("sqlstate", "vectors"),
    [
        ("LC231", []),
        ("LC231", [[1.0, 0.0]]),
        ("LC231", [[1.0, 0.0]] * 3),
        ("LC232", [[1.0, 0.0], [1.0]]),
        ("LC232", [[1.0], [1.0]]),
        ("LC232", [[1.0, 0.0, 0.0]] * 2),
        ("LC232", [1.0, 2.0]),
        ("LC232", [[1.0, 0.0], None]),
        ("LC232", [["a", "b"], ["c", "d"]]),
        ("LC232", [["1", "2"], ["3", "4"]]),
        ("LC232", [[True, False], [True, True]]),
        ("LC232", [[1.0, None], [1.0, 1.0]]),
        ("LC232", [[1.0, 10**400], [1.0, 1.0]]),
        ("LC232", [[[1.0], [2.0]], [[1.0], [2.0]]]),
        ("LC233", [[1.0, 0.0], [1.0, float("nan")]]),
        ("LC233", [[1.0, 0.0], [float("-inf"), 0.0]]),
        ("LC234", [[1.0, 0.0], [0.0, -0.0]]),
    ],
)
def test_bad_vectors(sqlstate: str, vectors: list[Any]) -> None:
    assert fails(sqlstate, check_vectors, vectors, 2, 2).detail


def test_format_vector() -> None:
    assert format_vector([1.0, -0.5, 0, 1e-7]) == "[1,-0.5,0,1e-07]"
    vector = check_vectors(np.random.default_rng(1).normal(size=(1, 1536)), 1, 1536)[0]
    text = format_vector(vector)
    back = np.array(text[1:-1].split(","), dtype=np.float32)
    assert np.allclose(back, vector, rtol=1e-5, atol=0)
    assert (back.astype(np.float16) == vector.astype(np.float16)).mean() > 0.99
