"""When to say "I don't know": similarity of the best passage for questions with and without an answer, over BEAM.

Each chat is a project of a watched table. Three kinds of questions: answerable; abstention (BEAM's own: near the chat's subject, but
never answered in it); foreign (asked in the next chat, which is about something else). The data is not part of the project: give its
folder by --abstention-data or LOCI_QUALITY_DATA. Settings are chosen on the even chats and checked on the odd ones.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result
from benchmarks._pipeline import one
from benchmarks.quality import beam, drain_all, fill, split_only, with_cache

_KINDS = ("answerable", "abstention", "foreign")
# Of the answerable questions, so many may be turned away for want of similarity.
_MAY_LOSE = 0.02


@dataclass
class Asked:
    chat: int
    kind: str
    similarity: float


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--abstention-data", default=os.environ.get("LOCI_QUALITY_DATA"), help="folder of the data")
    parser.add_argument("--abstention-chats", type=int, default=5, help="chats of BEAM, about 550 chunks each (5)")
    parser.add_argument("--abstention-provider", default="local", help="local, or hash for a trial (local)")
    parser.add_argument("--abstention-cache", help="folder that keeps vectors between runs; none: all are made anew")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    if not arguments.abstention_data or not Path(arguments.abstention_data).is_dir():
        raise SystemExit("abstention: there is no data: pass --abstention-data FOLDER or set LOCI_QUALITY_DATA")
    folder = Path(arguments.abstention_data) / "beam"
    chats = arguments.abstention_chats
    collection = beam(folder, chats, all_questions=True)
    asked: list[Asked] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        user = one(connection, "insert into loci.users (email) values ('bench@example.org') returning user_id")
        if arguments.abstention_provider == "hash":
            connection.execute("select loci.add_embedding_model('bench', provider => 'hash', dimensions => 256)")
            connection.execute("select loci.use_embedding_model('bench')")
        elif arguments.abstention_cache:
            split_only(connection)
        scopes = fill(connection, collection, user)
        if arguments.abstention_cache and arguments.abstention_provider == "local":
            with_cache(connection, Path(arguments.abstention_cache))
        drain_all(connection)
        connection.execute("vacuum analyze")
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (user,))
            for question in collection.questions:
                chat = int(question.place)
                kind = "abstention" if question.category == "abstention" else "answerable"
                asked.append(Asked(chat, kind, _best(connection, question.text, scopes[question.place])))
                if chats > 1:
                    other = str(chat % chats + 1)
                    asked.append(Asked(chat, "foreign", _best(connection, question.text, scopes[other])))
        chunks = one(connection, "select count(*) from loci_private.chunks")
        default = float(one(connection, "select floor from loci_private.answer_scale(array[%s::uuid])", scopes["1"]))
    floor = _floor([case for case in asked if case.chat % 2 == 0] or asked)
    rows: list[Sequence[str | float | int]] = []
    for part, chosen in (
        ("all", asked),
        ("even chats", [case for case in asked if case.chat % 2 == 0]),
        ("odd chats", [case for case in asked if case.chat % 2 == 1]),
    ):
        good = [case.similarity for case in chosen if case.kind == "answerable"]
        for kind in _KINDS:
            found = sorted(case.similarity for case in chosen if case.kind == kind)
            if found:
                quantiles = [_quantile(found, share) for share in (0.05, 0.5, 0.95)]
                below = [sum(similarity < limit for similarity in found) / len(found) for limit in (floor, default)]
                order = "" if kind == "answerable" else _order(good, found)
                rows.append((part, kind, len(found), *quantiles, order, *below))
    return Result(
        title="When to say: I don't know",
        columns=[
            "chats",
            "questions",
            "number",
            "5 %",
            "median",
            "95 %",
            "AUC",
            f"below {floor:.3f}",
            f"below {default:.3f}",
        ],
        rows=rows,
        parameters={"chats": chats, "chunks": chunks, "provider": arguments.abstention_provider, "k": 5},
        notes=[
            "5 %, median, 95 %: similarity (cosine) of the best of five passages.",
            "AUC: how often an answerable question is nearer to its best passage than one without an answer; 0.5 is chance.",
            f"below: share that would be told that nothing is known. The floor of {floor:.3f} was chosen on the even chats: the highest "
            f"below which at most {_MAY_LOSE:.0%} of the answerable questions are. {default:.3f} is the default of answer_floor.",
            "abstention: questions near the chat's subject whose answer is not in it; foreign: asked in the next chat.",
        ],
        series={kind: [case.similarity for case in asked if case.kind == kind] for kind in _KINDS},
    )


def _best(connection: psycopg.Connection[Any], question: str, scope: Any) -> float:
    """What loci.begin_turn() compares with the setting answer_floor."""
    return float(
        one(
            connection,
            "select coalesce(max(similarity), 0) from loci.search(%s, k => 5, scopes => array[%s::uuid])",
            question,
            scope,
        )
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _order(good: Sequence[float], bad: Sequence[float]) -> float:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad]
    return sum(pairs) / len(pairs) if pairs else 0.5


def _floor(asked: Sequence[Asked]) -> float:
    good = sorted(case.similarity for case in asked if case.kind == "answerable")
    return int(good[int(len(good) * _MAY_LOSE)] * 1000) / 1000 if good else 0.0


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    kinds = [kind for kind in _KINDS if result.series[kind]]
    axes.hist(
        [result.series[kind] for kind in kinds],
        bins=30,
        density=True,
        histtype="step",
        label=kinds,
        linewidth=2,
    )
    axes.set_xlabel("similarity of the best passage")
    axes.set_ylabel("density")
    axes.legend(loc="upper left")
