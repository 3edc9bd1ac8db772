"""The messages of one request to a chat model, within a budget of tokens.

What is always there: the system prompt and the question. The rest is taken by priority, best first, until the budget is
used up: the last exchange, the three best passages, what else was said lately, memories, further passages, the summary of
what was said before. Nothing is cut in the middle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from loci_udfs.db import Db, entry
from loci_udfs.errors import LociError
from loci_udfs.tokens import Tokenizer, get_tokenizer

# What a message costs besides its text, and what the answer's beginning does, in the chat format of OpenAI models;
# others cost less.
_PER_MESSAGE = 4
_PER_REQUEST = 3
# So many passages come before older messages do.
_FIRST_PASSAGES = 3
_LAST_EXCHANGE = 2
_TAG = re.compile(r"<(?=\s*/?\s*(?:memories|summary|passages)\b)", re.IGNORECASE)


@dataclass
class _Chosen:
    recent: int = 0
    passages: int = 0
    memories: int = 0
    summary: bool = False
    full: set[str] = field(default_factory=set)


def assemble(parts: dict[str, Any], budget: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Messages of a request, at most `budget` tokens in all.

    parts: system and question (text); summary (text or null); memories (list of text, best first); passages (list of
    {title, content}, best first); recent (list of {role, content}, oldest first).
    Returns messages ({role, content} each), tokens, and how many memories, passages and recent messages are in, and
    whether the summary is. Passages are numbered from 1 in their order. Raises LC704 where system prompt and question
    alone need more.
    """
    chosen = _Chosen()
    messages = _messages(parts, chosen)
    tokens = _count(messages, tokenizer)
    if tokens > budget:
        raise LociError(
            "the question is too long",
            detail=f"With the system prompt it has {tokens} tokens; {budget} are allowed.",
            hint="Shorten it, or put long texts into loci.documents; the setting context_tokens is the limit.",
            sqlstate="LC704",
        )
    for kind in _by_priority(parts):
        if kind in chosen.full:
            continue
        _change(chosen, kind, 1)
        candidate = _messages(parts, chosen)
        counted = _count(candidate, tokenizer)
        if counted > budget:
            _change(chosen, kind, -1)
            # Neither older messages nor worse passages, if one before them does not fit.
            chosen.full.add(kind)
        else:
            messages, tokens = candidate, counted
    return {
        "messages": messages,
        "tokens": tokens,
        "recent": chosen.recent,
        "passages": chosen.passages,
        "memories": chosen.memories,
        "summary": chosen.summary,
    }


def _by_priority(parts: dict[str, Any]) -> Iterator[str]:
    recent, passages = len(parts["recent"]), len(parts["passages"])
    yield from ["recent"] * min(recent, _LAST_EXCHANGE)
    yield from ["passages"] * min(passages, _FIRST_PASSAGES)
    yield from ["recent"] * (recent - _LAST_EXCHANGE)
    yield from ["memories"] * len(parts["memories"])
    yield from ["passages"] * (passages - _FIRST_PASSAGES)
    if parts["summary"]:
        yield "summary"


def _change(chosen: _Chosen, kind: str, by: int) -> None:
    if kind == "summary":
        chosen.summary = by > 0
    else:
        setattr(chosen, kind, getattr(chosen, kind) + by)


def _messages(parts: dict[str, Any], chosen: _Chosen) -> list[dict[str, str]]:
    system = [parts["system"]]
    if chosen.memories:
        system.append(_block("memories", [f"- {text}" for text in parts["memories"][: chosen.memories]]))
    if chosen.summary:
        system.append(_block("summary", [parts["summary"]]))
    if chosen.passages:
        system.append(
            _block(
                "passages",
                [
                    f"[{number}] {passage['title'] or ''}\n{passage['content']}".strip()
                    for number, passage in enumerate(parts["passages"][: chosen.passages], 1)
                ],
            )
        )
    recent = parts["recent"][len(parts["recent"]) - chosen.recent :]
    return [
        {"role": "system", "content": "\n\n".join(system)},
        *({"role": message["role"], "content": message["content"]} for message in recent),
        {"role": "user", "content": parts["question"]},
    ]


def _block(name: str, texts: list[str]) -> str:
    """Texts between tags, which none of them can open or close itself."""
    inside = ("\n\n" if name == "passages" else "\n").join(texts)
    return f"<{name}>\n{_TAG.sub('&lt;', inside)}\n</{name}>"


def _count(messages: list[dict[str, str]], tokenizer: Tokenizer) -> int:
    return _PER_REQUEST + sum(_PER_MESSAGE + tokenizer.count(message["content"]) for message in messages)


@entry
def assemble_context(db: Db, parts: str, budget: int, tokenizer: str) -> str:
    """assemble() for SQL: JSON text in and out."""
    return json.dumps(assemble(json.loads(parts), budget, get_tokenizer(tokenizer)), ensure_ascii=False)
