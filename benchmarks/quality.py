"""Is the right passage first? Labelled questions over LoCoMo, BEAM and Cranfield, with the built-in model.

The data is not part of the project: give its folder by --quality-data or LOCI_QUALITY_DATA. Each row of it is a row of a
watched table, drained like any other; each question is one search. BM25 in Python stands beside.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from matplotlib.figure import Figure

from benchmarks import Result
from benchmarks._pipeline import one
from benchmarks._plots import bars

DEPTHS = (5, 10, 20)
# Chunks asked for, so that 20 rows are among them.
_CHUNKS = 80
_MODEL = "multilingual-e5-small"


@dataclass
class Row:
    """body is searched; place: which collection it belongs to; lead: what its context is made of."""

    place: str
    key: str
    number: int
    lead: str
    body: str


@dataclass
class Question:
    place: str
    category: str
    text: str
    # key -> grade
    relevant: dict[str, int]


@dataclass
class Collection:
    """context: of the watched table. first_part: by which choices were checked first."""

    name: str
    context: str
    rows: list[Row] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    first_part: Callable[[int, Question], bool] = lambda number, question: False


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--quality-data", default=os.environ.get("LOCI_QUALITY_DATA"), help="folder of the data")
    parser.add_argument("--quality-chats", type=int, default=10, help="chats of BEAM, about 550 chunks each (10)")
    parser.add_argument("--quality-sets", default="locomo,beam,cranfield", help="which of them (all)")
    parser.add_argument("--quality-cache", help="folder that keeps vectors between runs; none: all are made anew")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    if not arguments.quality_data or not Path(arguments.quality_data).is_dir():
        raise SystemExit("quality: there is no data: pass --quality-data FOLDER or set LOCI_QUALITY_DATA")
    data = Path(arguments.quality_data)
    wanted = arguments.quality_sets.split(",")
    collections = [
        collection
        for name, read in (
            ("locomo", locomo), ("beam", lambda folder: beam(folder, arguments.quality_chats)), ("cranfield", cranfield),
        )
        if name in wanted
        for collection in [read(data / name)]
    ]  # fmt: skip
    rows: list[Sequence[str | float | int]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        user = one(connection, "insert into loci.users (email) values ('bench@example.org') returning user_id")
        if arguments.quality_cache:
            split_only(connection)
        scopes = {c.name: fill(connection, c, user) for c in collections}
        if arguments.quality_cache:
            with_cache(connection, Path(arguments.quality_cache))
        drain_all(connection)
        for table in ("chunks", "source_rows", "text_statistics", "word_counts"):
            connection.execute(f"vacuum analyze loci_private.{table}".encode())
        for collection in collections:
            rows += _evaluate(connection, collection, scopes[collection.name], user)
        chunks = one(connection, "select count(*) from loci_private.chunks")
    return Result(
        title="Is the right passage first?",
        columns=["data", "questions of", "questions", "search", *(f"recall@{k}" for k in DEPTHS), "nDCG@10"],
        rows=rows,
        parameters={
            "chunks": chunks,
            "model": _MODEL,
            "data": ", ".join(c.name for c in collections),
            "settings": "defaults",
        },
        notes=[
            "recall@k: share of a question's relevant rows among the first k distinct rows, averaged over the questions.",
            "BM25: in Python, k1 1.2, b 0.75, stop words, light stemming, over the text without its context.",
            "LoCoMo: context is the date of the session and the turn before. BEAM: date and role. Cranfield: the title.",
            "Part 1: conversations 1 and 2 of LoCoMo, chat 1 of BEAM, every other question of Cranfield; part 2: the rest.",
            "Both parts were looked at while the defaults were chosen: BM25 on all of the data, the weights of fusion first on "
            "part 1. Neither part is a clean test.",
        ],
    )


# --- the data -----------------------------------------------------------------------------------------------------------


def locomo(folder: Path) -> Collection:
    found = Collection(
        "LoCoMo",
        "'[' || lead || '] ' || coalesce((select p.body from {0} as p where p.place = {0}.place "
        "and p.lead = {0}.lead and p.number = {0}.number - 1), '')",
        first_part=lambda number, question: question.place in ("1", "2"),
    )
    names = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}
    for place, sample in enumerate(json.loads((folder / "conversations.json").read_text()), 1):
        talk = sample["conversation"]
        number = 0
        for session in sorted((key for key in talk if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:])):
            number += 1
            for turn in talk[session]:
                number += 1
                body = f"{turn['speaker']}: {turn['text']} {turn.get('blip_caption', '')}".strip()
                found.rows.append(Row(str(place), turn["dia_id"], number, talk[f"{session}_date_time"], body))
        for qa in sample["qa"]:
            told = [f"D{int(a)}:{int(b)}" for text in qa["evidence"] for a, b in re.findall(r"D(\d+):(\d+)", text)]
            if qa["category"] in names and told:
                found.questions.append(
                    Question(str(place), names[qa["category"]], qa["question"], dict.fromkeys(told, 1))
                )
    return found


def beam(folder: Path, chats: int, all_questions: bool = False) -> Collection:
    """all_questions: those without an answer as well."""
    found = Collection("BEAM", "lead", first_part=lambda number, question: question.place == "1")
    for place in range(1, chats + 1):
        chat = json.loads((folder / f"{place}.json").read_text())
        when = ""
        for number, message in enumerate(chat["messages"]):
            when = message["time_anchor"] or when
            lead = f"[{when}] {message['role']}"
            found.rows.append(Row(str(place), str(message["id"]), number, lead, message["content"]))
        for question in chat["questions"]:
            if question["evidence"] or all_questions:
                relevant = {str(key): 1 for key in question["evidence"]}
                found.questions.append(Question(str(place), question["category"], question["question"], relevant))
    return found


def cranfield(folder: Path) -> Collection:
    found = Collection("Cranfield", "lead", first_part=lambda number, question: number % 2 == 0)
    for number, document in enumerate(re.split(r"^\.I ", (folder / "cran.all.1400").read_text(), flags=re.M)[1:], 1):
        title = re.search(r"^\.T\n(.*?)^\.A", document, re.S | re.M)
        assert title is not None
        body = " ".join(document.split(".W\n", 1)[1].split())
        found.rows.append(Row("1", str(number), number, " ".join(title[1].split()), body))
    relevant: dict[int, dict[str, int]] = defaultdict(dict)
    for line in (folder / "cranqrel").read_text().splitlines():
        question, key, grade = (int(part) for part in line.split()[:3])
        if grade > 0:
            # 1 is the best grade, 4 the least.
            relevant[question][str(key)] = 5 - grade
    for number, question in enumerate(re.split(r"^\.I ", (folder / "cran.qry").read_text(), flags=re.M)[1:], 1):
        if number in relevant:
            text = " ".join(question.split(".W")[1].split())
            found.questions.append(Question("1", "all", text, relevant[number]))
    return found


# --- into the database ----------------------------------------------------------------------------------------------------


def fill(connection: psycopg.Connection[Any], collection: Collection, user: Any) -> dict[str, Any]:
    """A watched table with the rows; the scope of each place."""
    table = collection.name.lower()
    organization = one(
        connection, "insert into loci.organizations (name) values (%s) returning organization_id", collection.name
    )
    connection.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", (organization, user)
    )
    scopes = {
        place: one(
            connection,
            "insert into loci.projects (organization_id, name) values (%s, %s) returning project_id",
            organization,
            place,
        )
        for place in sorted({row.place for row in collection.rows})
    }
    connection.execute(
        f"create table {table} (place uuid, key text, number integer, lead text, body text, primary key (place, key))".encode()
    )
    with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin".encode()) as copy:
        for row in collection.rows:
            copy.write_row((scopes[row.place], row.key, row.number, row.lead, row.body))
    connection.execute(
        "select loci.watch(%s::regclass, content => 'body', scope => 'place', context => %s)",
        (table, collection.context.format(table)),
    )
    drain_all(connection)
    return scopes


def drain_all(connection: psycopg.Connection[Any]) -> None:
    while one(connection, "select coalesce(sum(pending), 0) from loci.progress"):
        connection.execute("call loci.drain()")
    failed = one(connection, "select count(*) from loci.failures")
    assert not failed, f"{failed} rows failed"


def split_only(connection: psycopg.Connection[Any]) -> None:
    connection.execute("select loci.add_embedding_model('split', provider => 'hash', dimensions => 16)")
    connection.execute(
        "update loci.embedding_models set tokenizer = m.tokenizer, max_tokens = m.max_tokens "
        "from loci.embedding_models as m where m.name = %s and embedding_models.name = 'split'",
        (_MODEL,),
    )
    connection.execute("select loci.use_embedding_model('split')")


def with_cache(connection: psycopg.Connection[Any], folder: Path) -> None:
    """Embed with the built-in model what the cache does not know, and keep it there."""
    path = folder / f"{_MODEL}.npz"
    known: dict[str, Any] = {}
    if path.exists():
        with np.load(path) as kept:
            known = dict(zip(kept["hashes"].tolist(), kept["vectors"], strict=True))
    model = one(connection, "select model_id from loci.embedding_models where name = %s", _MODEL)
    table = f"loci_private.embeddings_{model}"
    chunks = connection.execute("select chunk_id, encode(text_hash, 'hex') from loci_private.chunks").fetchall()
    connection.execute("create temporary table kept (chunk_id bigint, embedding halfvec)")
    with connection.cursor() as cursor, cursor.copy("copy kept from stdin") as copy:
        for chunk, text_hash in chunks:
            if text_hash in known:
                copy.write_row((chunk, str(known[text_hash].tolist())))
    connection.execute(
        f"insert into {table} (chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, audience, embedding, created_at) "
        "select chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, audience, embedding, created_at "
        "from kept join loci_private.chunks using (chunk_id)".encode()
    )
    connection.execute("select loci.use_embedding_model(%s)", (_MODEL,))
    drain_all(connection)
    for text_hash, vector in connection.execute(
        f"select encode(text_hash, 'hex'), embedding::text from {table} join loci_private.chunks using (chunk_id)".encode()
    ):
        known[text_hash] = np.array(json.loads(vector), dtype=np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, hashes=np.array(list(known)), vectors=np.array(list(known.values())))


# --- figures ----------------------------------------------------------------------------------------------------------------


def _evaluate(
    connection: psycopg.Connection[Any], collection: Collection, scopes: dict[str, Any], user: Any
) -> Iterator[Sequence[str | float | int]]:
    reference = {place: Bm25({row.key: row.body for row in collection.rows if row.place == place}) for place in scopes}
    answers: dict[str, list[list[str]]] = defaultdict(list)
    with connection.transaction():
        connection.execute("select loci.act_as(%s)", (user,))
        for question in collection.questions:
            answers["BM25 in Python"].append(reference[question.place].search(question.text))
            for mode in ("keyword", "vector", "hybrid"):
                found = connection.execute(
                    "select key::jsonb ->> 1 from loci.search(%s, k => %s, mode => %s, scopes => %s)",
                    (question.text, _CHUNKS, mode, [scopes[question.place]]),
                ).fetchall()
                answers[mode].append(list(dict.fromkeys(key for (key,) in found)))
    parts: dict[str, list[int]] = {"all": list(range(len(collection.questions)))}
    for number, question in enumerate(collection.questions):
        parts.setdefault("part 1" if collection.first_part(number, question) else "part 2", []).append(number)
        if question.category != "all":
            parts.setdefault(question.category, []).append(number)
    for part, numbers in parts.items():
        for search, lists in answers.items():
            asked = [(collection.questions[n].relevant, lists[n]) for n in numbers]
            yield (
                collection.name, part, len(numbers), search,
                *(sum(recall(relevant, keys, k) for relevant, keys in asked) / len(asked) for k in DEPTHS),
                sum(ndcg(relevant, keys) for relevant, keys in asked) / len(asked),
            )  # fmt: skip


def recall(relevant: dict[str, int], keys: list[str], k: int) -> float:
    return len(relevant.keys() & set(keys[:k])) / len(relevant)


def ndcg(relevant: dict[str, int], keys: list[str], k: int = 10) -> float:
    def gain(grades: list[int]) -> float:
        return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades[:k]))

    return gain([relevant.get(key, 0) for key in keys]) / gain(sorted(relevant.values(), reverse=True))


class Bm25:
    """The reference: all in memory, k1 1.2, b 0.75."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._counts = {key: Counter(_words(text)) for key, text in texts.items()}
        self._lengths = {key: sum(counts.values()) for key, counts in self._counts.items()}
        self._mean = sum(self._lengths.values()) / len(texts)
        found = Counter(word for counts in self._counts.values() for word in counts)
        self._weights = {word: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for word, n in found.items()}

    def search(self, question: str) -> list[str]:
        words = set(_words(question))
        scores = {key: self._score(words, key) for key in self._counts}
        return [key for key in sorted(scores, key=lambda key: -scores[key]) if scores[key] > 0][:_CHUNKS]

    def _score(self, words: set[str], key: str) -> float:
        counts, length = self._counts[key], 1.2 * (0.25 + 0.75 * self._lengths[key] / self._mean)
        return sum(
            self._weights[word] * 2.2 * counts[word] / (counts[word] + length) for word in words if word in counts
        )


_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about after all also am an and any are as at be because been before being but by can could did do does doing down
        during each few for from further had has have having he her here hers him his how i if in into is it its itself just
        me more most my no nor not now of off on once only or other our out over own same she should so some such than that
        the their them then there these they this those through to too under until up very was we were what when where which
        while who whom why will with would you your yours
        """,
    )
)


def _words(text: str) -> list[str]:
    return [_stem(word) for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    for ending, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("ly", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + instead
    return word


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    rows = [row for row in result.rows if row[1] == "all"]
    column = result.columns.index("recall@10")
    bars(axes, [f"{row[0]}: {row[3]}" for row in rows], [float(row[column]) for row in rows], "recall@10")
