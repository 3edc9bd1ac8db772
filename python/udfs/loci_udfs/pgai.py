"""What a pgai vectorizer means in Loci's terms. No database in here: configuration in, configuration out."""

from __future__ import annotations

import json
from string import Template
from typing import Any

from loci_udfs.chunking import MAX_CHUNK_TOKENS, MIN_CHUNK_TOKENS
from loci_udfs.db import Db, entry
from loci_udfs.errors import LociError
from loci_udfs.tokens import get_tokenizer

# pgai counts characters. Four a token is what English prose comes to.
_CHARS_PER_TOKEN = 4
_SPACE = " \t\n\r\f\v"
_TEXT_TYPES = ("text", "character varying", "character", "bpchar", "name")
# How a LiteLLM gateway calls the models of providers whose names pgai leaves out.
_PREFIXES = {"ollama": "ollama/", "voyageai": "voyage/"}
# What these models return unless they are asked for less.
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}

# ("text", literal) or ("column", name)
Part = tuple[str, str]


@entry
def plan(db: Db, vectorizer: str, columns: str) -> str:
    """plan_vectorizer() for SQL: JSON text in and out."""
    return json.dumps(plan_vectorizer(json.loads(vectorizer), json.loads(columns)))


@entry
def count_tokens(db: Db, content: str, tokenizer: str) -> int:
    """Tokens of a chunk that was cut by others. Raises LC220 for an unknown tokenizer."""
    return get_tokenizer(tokenizer).count(content)


def plan_vectorizer(vectorizer: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """How to watch and copy what a row of ai.vectorizer describes. columns: those of its table, with their types.

    content, context, stored: SQL expressions over a row (stored: what pgai wrote before each chunk; null where a chunk
    cannot be told from its template). verbatim: every chunk is a piece of the row's text. column: where the vectors are
    when they are in the table itself, else target is the table they are in.
    Raises LC275 for a vectorizer that Loci has no counterpart for.
    """
    config = vectorizer["config"]
    chunking = config.get("chunking") or {}
    remarks: list[str] = []

    column = _content_column(config, columns)
    tokens, overlap = _chunk_tokens(chunking, remarks)
    before, after, whole = _template(config, columns)
    context = _context([*before, *after])
    if context and not whole:
        remarks.append("The formatting template puts text behind the chunk: Loci puts it all in front, as context.")

    embedding = config.get("embedding") or {}
    destination = config.get("destination") or {}
    return {
        "content": _identifier(column),
        "context": context,
        "stored": _stored(before, columns) if whole else None,
        "verbatim": not chunking.get("is_separator_regex"),
        "chunk_tokens": tokens,
        "chunk_overlap": overlap,
        "model": _model(embedding, remarks),
        "dimensions": embedding.get("dimensions"),
        "column": destination.get("embedding_column") if destination.get("implementation") == "column" else None,
        "target": _target(vectorizer, destination),
        "remarks": remarks,
    }


def _target(vectorizer: dict[str, Any], destination: dict[str, Any]) -> str | None:
    # Before there were destinations, the table had columns of its own in the catalogue.
    place = destination if destination.get("target_table") else vectorizer
    schema, table = place.get("target_schema"), place.get("target_table")
    return f"{_identifier(schema)}.{_identifier(table)}" if schema and table else None


def _content_column(config: dict[str, Any], columns: dict[str, str]) -> str:
    # Before there were loading functions, the column was named with the chunking.
    loading = config.get("loading") or {
        "implementation": "column",
        "column_name": (config.get("chunking") or {}).get("chunk_column"),
    }
    column = loading.get("column_name")
    if loading.get("implementation") != "column":
        raise LociError(
            "this vectorizer reads documents from elsewhere",
            detail=f"Its column {column!r} holds addresses, its loading is {loading.get('implementation')!r}.",
            hint="Store the text of the documents in the database, in a column or in loci.documents, and watch that.",
            sqlstate="LC275",
        )
    kind = columns.get(column or "")
    if kind is None:
        raise LociError(
            "this vectorizer reads a column that its table does not have",
            detail=f"The column {column!r} was dropped or renamed.",
            hint="Watch the table with loci.watch() instead.",
            sqlstate="LC275",
        )
    if kind.partition("(")[0] not in _TEXT_TYPES:
        raise LociError(
            "this vectorizer reads documents that are not text",
            detail=f"Its column {column!r} is of type {kind}.",
            hint="Store the text of the documents in a column of its own, or in loci.documents, and watch that.",
            sqlstate="LC275",
        )
    assert column is not None
    return str(column)


def _chunk_tokens(chunking: dict[str, Any], remarks: list[str]) -> tuple[int, int]:
    size, overlap = chunking.get("chunk_size"), chunking.get("chunk_overlap")
    if chunking.get("implementation") == "none" or not size:
        remarks.append(
            f"The vectorizer does not cut texts; Loci cuts changed rows into chunks of up to {MAX_CHUNK_TOKENS} tokens, "
            "or what the model takes."
        )
        return MAX_CHUNK_TOKENS, 0
    tokens = min(max(round(size / _CHARS_PER_TOKEN), MIN_CHUNK_TOKENS), MAX_CHUNK_TOKENS)
    shared = min(max(round((overlap or 0) / _CHARS_PER_TOKEN), 0), tokens // 2)
    remarks.append(
        f"{size} characters with {overlap or 0} overlapping became {tokens} tokens with {shared}; "
        "changed rows are cut at paragraphs, lines, sentences and words."
    )
    return tokens, shared


def _model(embedding: dict[str, Any], remarks: list[str]) -> str:
    name = str(embedding.get("model") or "")
    usual = _DIMENSIONS.get(name.rpartition("/")[2])
    if usual is not None and embedding.get("dimensions") not in (None, usual):
        remarks.append(
            f"{name} has {usual} dimensions, the vectorizer asked for {embedding['dimensions']}: "
            "let the gateway ask for as many under this name."
        )
    if embedding.get("implementation") == "voyageai" and embedding.get("input_type"):
        remarks.append(
            f"The vectorizer embedded with input_type {embedding['input_type']!r}: the gateway decides about it now."
        )
    return _PREFIXES.get(embedding.get("implementation") or "", "") + name


def _template(config: dict[str, Any], columns: dict[str, str]) -> tuple[list[Part], list[Part], bool]:
    """The parts of the formatting template before and behind the chunk, and whether nothing is behind it."""
    template = (config.get("formatting") or {}).get("template") or "$chunk"
    parts: list[Part] = []
    position = 0
    for match in Template.pattern.finditer(template):
        parts.append(("text", template[position : match.start()]))
        name = match.group("named") or match.group("braced")
        if name is not None:
            if name != "chunk" and name not in columns:
                raise LociError(
                    "this vectorizer names a column that its table does not have",
                    detail=f"The formatting template holds ${name}.",
                    hint="Watch the table with loci.watch() instead.",
                    sqlstate="LC275",
                )
            parts.append(("column", name))
        else:
            parts.append(("text", "$"))
        position = match.end()
    parts.append(("text", template[position:]))
    parts = [part for part in parts if part[1]]

    chunks = [n for n, part in enumerate(parts) if part == ("column", "chunk")]
    first = chunks[0] if chunks else len(parts)
    before = parts[:first]
    after = [part for part in parts[first + 1 :] if part != ("column", "chunk")]
    whole = len(chunks) == 1 and all(kind == "text" and not text.strip() for kind, text in after)
    return before, ([] if whole else after), whole


def _context(parts: list[Part]) -> str | None:
    """What stands around each chunk, as an expression; columns without a value leave nothing."""
    if not any(kind == "column" or text.strip() for kind, text in parts):
        return None
    values = ", ".join(_literal(value) if kind == "text" else _identifier(value) for kind, value in parts)
    return f"nullif(btrim(concat({values}), {_literal(_SPACE)}), '')"


def _stored(parts: list[Part], columns: dict[str, str]) -> str:
    """The same as Python wrote it, which calls a missing value None."""
    values = []
    for kind, value in parts:
        if kind == "text":
            values.append(_literal(value))
        elif columns[value] == "boolean":
            values.append(f"coalesce(initcap({_identifier(value)}::text), 'None')")
        else:
            values.append(f"coalesce({_identifier(value)}::text, 'None')")
    return " || ".join(values) or "''"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return ("E'" if "\\" in escaped else "'") + escaped + "'"
