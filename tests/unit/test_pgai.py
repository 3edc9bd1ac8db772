"""What a vectorizer of pgai means in Loci's terms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loci_udfs.db import DbError
from loci_udfs.errors import LociError
from loci_udfs.gateway import GatewayError
from loci_udfs.pgai import plan_vectorizer
from loci_udfs.providers import get_provider
from loci_udfs.providers.base import ModelConfig, Outcome

COLUMNS = {"id": "bigint", "title": "text", "body": "text", "o'clock \\": "integer", "open": "boolean", "scan": "bytea"}


def plan(**config: Any) -> dict[str, Any]:
    config = {
        "loading": {"implementation": "column", "column_name": "body"},
        "embedding": {"implementation": "openai", "model": "text-embedding-3-small", "dimensions": 1536},
        "chunking": {"implementation": "recursive_character_text_splitter", "chunk_size": 800, "chunk_overlap": 400},
        "formatting": {"implementation": "python_template", "template": "$chunk"},
        "destination": {"implementation": "table", "target_schema": "public", "target_table": 'a"b'},
        **config,
    }
    return plan_vectorizer({"source_schema": "public", "source_table": "notes", "config": config}, COLUMNS)


def template(text: str) -> dict[str, Any]:
    return plan(formatting={"implementation": "python_template", "template": text})


def test_the_plain_case() -> None:
    found = plan()
    remarks = found.pop("remarks")
    assert found == {
        "content": '"body"',
        "context": None,
        "stored": "''",
        "verbatim": True,
        "chunk_tokens": 200,
        "chunk_overlap": 100,
        "model": "text-embedding-3-small",
        "dimensions": 1536,
        "column": None,
        "target": '"public"."a""b"',
    }
    assert remarks == [
        "800 characters with 400 overlapping became 200 tokens with 100; "
        "changed rows are cut at paragraphs, lines, sentences and words."
    ]


@pytest.mark.parametrize(
    ("chunking", "tokens", "overlap"),
    [
        ({"implementation": "character_text_splitter", "chunk_size": 100, "chunk_overlap": 90}, 100, 22),
        ({"implementation": "character_text_splitter", "chunk_size": 400, "chunk_overlap": 400}, 100, 50),
        ({"implementation": "character_text_splitter", "chunk_size": 50_000}, 2000, 0),
        ({"implementation": "none"}, 2000, 0),
        ({}, 2000, 0),
    ],
)
def test_characters_to_tokens(chunking: dict[str, Any], tokens: int, overlap: int) -> None:
    found = plan(chunking=chunking)
    assert (found["chunk_tokens"], found["chunk_overlap"]) == (tokens, overlap)
    assert found["remarks"]


def test_a_regular_expression_may_cut_something_out() -> None:
    chunking = {"implementation": "character_text_splitter", "chunk_size": 800, "is_separator_regex": True}
    assert plan(chunking=chunking)["verbatim"] is False


@pytest.mark.parametrize(
    ("text", "context", "stored"),
    [
        ("$chunk\n", None, "''"),
        ("  \n$chunk", None, "'  \n'"),
        ("${title}: $chunk", "concat(\"title\", ': ')", "coalesce(\"title\"::text, 'None') || ': '"),
        ("It's $$1 \\ $chunk", "concat('It''s ', '$', E'1 \\\\ ')", "'It''s ' || '$' || E'1 \\\\ '"),
        ("$open $chunk", "concat(\"open\", ' ')", "coalesce(initcap(\"open\"::text), 'None') || ' '"),
        ("$chunk by $title", "concat(' by ', \"title\")", None),
        ("$chunk $chunk", None, None),
    ],
)
def test_templates(text: str, context: str | None, stored: str | None) -> None:
    found = template(text)
    space = "' \t\n\r\f\v'"
    assert found["context"] == (context and f"nullif(btrim({context}, {space}), '')")
    assert found["stored"] == stored


def test_what_stands_behind_the_chunk_is_remarked() -> None:
    assert any("behind the chunk" in remark for remark in template("$chunk by $title")["remarks"])
    assert not any("behind the chunk" in remark for remark in template("$title $chunk")["remarks"])


@pytest.mark.parametrize(
    ("embedding", "name"),
    [
        ({"implementation": "openai", "model": "text-embedding-3-large"}, "text-embedding-3-large"),
        ({"implementation": "litellm", "model": "cohere/embed-english-v3.0"}, "cohere/embed-english-v3.0"),
        ({"implementation": "ollama", "model": "nomic-embed-text"}, "ollama/nomic-embed-text"),
        ({"implementation": "voyageai", "model": "voyage-3-lite"}, "voyage/voyage-3-lite"),
    ],
)
def test_names_of_models(embedding: dict[str, Any], name: str) -> None:
    assert plan(embedding={"dimensions": 512, **embedding})["model"] == name


def test_shortened_embeddings_are_remarked() -> None:
    embedding = {"implementation": "openai", "model": "text-embedding-3-small", "dimensions": 768}
    assert any("1536 dimensions" in remark for remark in plan(embedding=embedding)["remarks"])


def test_vectors_in_the_table() -> None:
    found = plan(destination={"implementation": "column", "embedding_column": "vector"})
    assert (found["column"], found["target"]) == ("vector", None)


def test_the_catalogue_of_older_versions() -> None:
    """The column was named with the chunking, and where the vectors are in columns of the catalogue."""
    vectorizer = {
        "source_schema": "public",
        "source_table": "notes",
        "target_schema": "public",
        "target_table": "notes_embedding_store",
        "config": {
            "embedding": {"implementation": "openai", "model": "text-embedding-3-small", "dimensions": 1536},
            "chunking": {
                "implementation": "character_text_splitter",
                "chunk_column": "body",
                "chunk_size": 800,
                "chunk_overlap": 0,
            },
            "formatting": {"implementation": "python_template", "template": "$chunk"},
        },
    }
    found = plan_vectorizer(vectorizer, COLUMNS)
    assert (found["content"], found["target"]) == ('"body"', '"public"."notes_embedding_store"')


@pytest.mark.parametrize(
    "config",
    [
        {"loading": {"implementation": "uri", "column_name": "title"}},
        {"loading": {"implementation": "column", "column_name": "scan"}},
        {"loading": {"implementation": "column", "column_name": "gone"}},
        {"formatting": {"implementation": "python_template", "template": "$gone $chunk"}},
    ],
)
def test_without_a_counterpart(config: dict[str, Any]) -> None:
    with pytest.raises(LociError) as raised:
        plan(**config)
    assert raised.value.sqlstate == "LC275"
    assert raised.value.detail
    assert raised.value.hint


# --- its functions as a provider --------------------------------------------------------------------------------------


class Session:
    """A database whose ai.openai_embed fails as it is told, for whatever holds the word."""

    def __init__(self, word: str = "", message: str = "") -> None:
        self.word = word
        self.message = message
        self.asked: list[list[str]] = []

    def query(self, sql: str, *parameters: tuple[str, Any]) -> list[dict[str, Any]]:
        if "pg_proc" in sql:
            return [{"names": json.dumps(["model", "input_texts", "api_key_name", "dimensions", "client_config"])}]
        texts = parameters[0][1]
        self.asked.append(texts)
        if self.word and any(self.word in text for text in texts):
            raise DbError("38000", self.message)
        return [{"index": n, "embedding": f"[1,{len(text)}]"} for n, text in enumerate(texts)]


def each(session: Session, *texts: str, **more: Any) -> Outcome:
    model = ModelConfig(1, "model", "pgai", 2, max_batch=4, max_tokens=20)
    provider: Any = get_provider("pgai", session)  # type: ignore[arg-type]
    outcome: Outcome = provider.embed_each(texts, "passage", model, lambda: None, **more)
    return outcome


def test_a_bad_text_spoils_no_others() -> None:
    texts = [f"text {n}" for n in range(6)]
    texts[2] = "poison"
    outcome = each(Session("poison", "openai.InternalServerError: Error code: 500"), *texts, "", "word " * 30)
    assert sorted(outcome.vectors) == [0, 1, 3, 4, 5]
    assert {position: error.sqlstate for position, error in outcome.errors.items()} == {
        2: "LC402",
        6: "LC235",
        7: "LC230",
    }
    assert outcome.stopped is None


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        ("openai.NotFoundError: Error code: 404", "LC405"),
        ("openai.AuthenticationError: Error code: 401", "LC404"),
        # What an answer quotes says nothing of the gateway.
        ("openai.BadRequestError: Error code: 400 - 'RateLimitError: my secret'", "LC406"),
    ],
)
def test_what_looks_like_the_gateways_fault_can_be_one_texts(message: str, sqlstate: str) -> None:
    outcome = each(Session("poison", message), "one", "poison", "two")
    assert sorted(outcome.vectors) == [0, 2]
    assert {position: error.sqlstate for position, error in outcome.errors.items()} == {1: sqlstate}
    assert outcome.stopped is None


@pytest.mark.parametrize(
    ("message", "kind", "sqlstate"),
    [
        ("openai.RateLimitError: Error code: 429", "overloaded", "LC401"),
        ("openai.APITimeoutError: Request timed out.", "outage", "LC403"),
        ("openai.AuthenticationError: Error code: 401 - Incorrect API key: sk-ab12*x", "misconfigured", "LC404"),
        ("plpy.Error: missing OPENAI_API_KEY secret", "misconfigured", "LC404"),
        ("openai.NotFoundError: Error code: 404", "misconfigured", "LC405"),
        ("openai.APIConnectionError: Connection error.", "outage", "LC402"),
        # What is rejected whatever is sent is no text's fault.
        ("openai.BadRequestError: Error code: 400", "misconfigured", "LC406"),
    ],
)
def test_what_stops_everything(message: str, kind: str, sqlstate: str) -> None:
    outcome = each(session := Session("o", message), "one", "two", "no", "so", "too")
    assert outcome.vectors == outcome.errors == {}
    assert isinstance(outcome.stopped, GatewayError)
    assert (outcome.stopped.kind, outcome.stopped.sqlstate) == (kind, sqlstate)
    assert "ab12" not in str(outcome.stopped.detail)
    assert len(session.asked) <= 2


def test_no_more_than_permitted() -> None:
    permits = iter([True, False])
    outcome = each(session := Session(), "one", "two", "three", "four", "five", permit=lambda: next(permits))
    assert sorted(outcome.vectors) == [0, 1, 2, 3]
    assert (outcome.errors, outcome.stopped, outcome.requests) == ({}, None, 1)
    assert len(session.asked) == 1
