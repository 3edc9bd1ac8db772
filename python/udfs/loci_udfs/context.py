"""The messages of one request to a chat model, within a budget of tokens.

What is always there: the system prompt and the question. The rest is taken by priority, best first, until the budget is
used up: the last exchange, the three best passages, what became of proposed actions, what else was said lately, memories,
further passages, the summary of what was said before. Nothing is cut in the middle.
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
# Where pieces seem to be too much by so many tokens, the whole is counted.
_INEXACT = 32
_TAG = re.compile(r"<(?=\s*/?\s*(?:memories|actions|summary|passages)\b)", re.IGNORECASE)
_NUMBERS = r"\s*\d{1,3}\s*(?:[,;]\s*\d{1,3}\s*)*\]"
_MARK = re.compile(rf"\[(?={_NUMBERS})")
_CITATION = re.compile(rf"[ \t]*\[{_NUMBERS}")


@dataclass
class _Chosen:
    recent: int = 0
    passages: int = 0
    memories: int = 0
    actions: int = 0
    summary: int = 0
    full: set[str] = field(default_factory=set)


def assemble(parts: dict[str, Any], budget: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Messages of a request, at most `budget` tokens in all.

    parts: system and question (text); summary (text or null); memories (list of text, best first); actions (list of
    text, oldest first: what became of what was proposed); passages (list of
    {title, source, content}, best first); recent (list of {role, content}, oldest first).
    Returns messages ({role, content} each), tokens, and how many memories, passages and recent messages are in, and
    whether the summary is. Passages are numbered from 1 in their order. Raises LC704 where system prompt and question
    alone need more.
    """
    parts = {**parts, "recent": [_as_said(message) for message in parts["recent"]]}
    everything = _Chosen(
        len(parts["recent"]),
        len(parts["passages"]),
        len(parts["memories"]),
        len(parts["actions"]),
        1 if parts["summary"] else 0,
    )
    found = _assembled(parts, everything, tokenizer)
    if found["tokens"] <= budget:
        return found
    least = _assembled(parts, _Chosen(), tokenizer)
    if least["tokens"] > budget:
        raise LociError(
            "the question is too long",
            detail=f"With the system prompt it has {least['tokens']} tokens; {budget} are allowed.",
            hint="Shorten it, or put long texts into loci.documents; the setting context_tokens is the limit.",
            sqlstate="LC704",
        )
    chosen, taken = _Chosen(), list[str]()
    # Counted piece by piece, which is nearly exact; the whole is counted in the end.
    tokens = least["tokens"]
    for kind in _by_priority(parts):
        # Neither older messages nor worse passages, if one before them does not fit.
        if kind in chosen.full:
            continue
        tokens_then = tokens + _cost(parts, chosen, kind, tokenizer)
        _change(chosen, kind, 1)
        if budget < tokens_then <= budget + _INEXACT:
            tokens_then = _assembled(parts, chosen, tokenizer)["tokens"]
        if tokens_then > budget:
            _change(chosen, kind, -1)
            chosen.full.add(kind)
        else:
            taken.append(kind)
            tokens = tokens_then
    found = _assembled(parts, chosen, tokenizer)
    while found["tokens"] > budget:
        _change(chosen, taken.pop(), -1)
        found = _assembled(parts, chosen, tokenizer)
    return found


def _assembled(parts: dict[str, Any], chosen: _Chosen, tokenizer: Tokenizer) -> dict[str, Any]:
    messages = _messages(parts, chosen)
    return {
        "messages": messages,
        "tokens": _PER_REQUEST + sum(_PER_MESSAGE + tokenizer.count(message["content"]) for message in messages),
        "recent": chosen.recent,
        "passages": chosen.passages,
        "memories": chosen.memories,
        "actions": chosen.actions,
        "summary": bool(chosen.summary),
    }


def _by_priority(parts: dict[str, Any]) -> Iterator[str]:
    recent, passages = len(parts["recent"]), len(parts["passages"])
    yield from ["recent"] * min(recent, _LAST_EXCHANGE)
    yield from ["passages"] * min(passages, _FIRST_PASSAGES)
    yield from ["actions"] * len(parts["actions"])
    yield from ["recent"] * (recent - _LAST_EXCHANGE)
    yield from ["memories"] * len(parts["memories"])
    yield from ["passages"] * (passages - _FIRST_PASSAGES)
    if parts["summary"]:
        yield "summary"


def _change(chosen: _Chosen, kind: str, by: int) -> None:
    setattr(chosen, kind, getattr(chosen, kind) + by)


def _cost(parts: dict[str, Any], chosen: _Chosen, kind: str, tokenizer: Tokenizer) -> int:
    """Tokens of the next piece of a kind, by itself."""
    number = getattr(chosen, kind)
    if kind == "recent":
        return _PER_MESSAGE + tokenizer.count(parts["recent"][-number - 1]["content"])
    if kind == "passages":
        piece = "\n\n" + _passage(number + 1, parts["passages"][number])
    elif kind == "memories":
        piece = "\n" + _memory(parts["memories"][number])
    elif kind == "actions":
        piece = "\n" + _memory(parts["actions"][-number - 1])
    else:
        piece = parts["summary"]
    if number == 0:
        piece = "\n\n" + _block(kind, [piece])
    return tokenizer.count(piece)


def _messages(parts: dict[str, Any], chosen: _Chosen) -> list[dict[str, str]]:
    system = [parts["system"]]
    if chosen.memories:
        system.append(_block("memories", map(_memory, parts["memories"][: chosen.memories])))
    if chosen.actions:
        # The latest, where there is not room for all.
        system.append(_block("actions", map(_memory, parts["actions"][len(parts["actions"]) - chosen.actions :])))
    if chosen.summary:
        system.append(_block("summary", [parts["summary"]]))
    if chosen.passages:
        passages = enumerate(parts["passages"][: chosen.passages], 1)
        system.append(_block("passages", [_passage(number, passage) for number, passage in passages]))
    recent = parts["recent"][len(parts["recent"]) - chosen.recent :]
    return [
        {"role": "system", "content": "\n\n".join(system)},
        *recent,
        {"role": "user", "content": parts["question"]},
    ]


def _as_said(message: dict[str, str]) -> dict[str, str]:
    """A message of before, without its citations: their numbers stand for other passages now."""
    content = message["content"]
    if message["role"] == "assistant":
        content = _CITATION.sub("", content)
    return {"role": message["role"], "content": content}


def _memory(text: str) -> str:
    return f"- {_MARK.sub('&#91;', text)}"


def _passage(number: int, passage: dict[str, Any]) -> str:
    """Numbered. What it says itself in brackets is no number of a passage."""
    lead = " ".join(f"{passage['title'] or ''} ({passage['source']})".split())
    return f"[{number}] {_MARK.sub('&#91;', lead)}\n{_MARK.sub('&#91;', passage['content'])}"


def _block(name: str, texts: Any) -> str:
    """Texts between tags, which none of them can open or close itself."""
    inside = ("\n\n" if name == "passages" else "\n").join(texts)
    return f"<{name}>\n{_TAG.sub('&lt;', inside)}\n</{name}>"


@entry
def assemble_context(db: Db, parts: str, budget: int, tokenizer: str) -> str:
    """assemble() for SQL: its result, or {"error": ...}, which SQL raises; JSON text in and out."""
    try:
        found = assemble(json.loads(parts), budget, get_tokenizer(tokenizer))
    except LociError as error:
        said = {"sqlstate": error.sqlstate, "message": error.message, "detail": error.detail, "hint": error.hint}
        return json.dumps({"error": said})
    return json.dumps(found, ensure_ascii=False)
