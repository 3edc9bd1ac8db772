"""The vector arm: which path it takes, that it finds the nearest, and always as many as there are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Database, embeddings_table
from tests.functions.vectors import build_index, clusters, fill, model, text

COUNT = 6000
K = 10
# The share of all vectors that each user sees.
SHARES = {"all": 1.0, "half": 0.5, "eighth": 0.12, "hundredth": 0.01, "thousandth": 0.001}


class World:
    """One organization, a private project for each share, and a user for each; user "all" sees every project."""

    def __init__(self, db: Database) -> None:
        rng = random.Random(7)
        self.db = db
        self.users = {name: db.user(f"{name}@example.org") for name in [*SHARES, "nobody"]}
        self.organization = db.organization("Acme", *(self.users[name] for name in SHARES))
        self.projects = {name: db.project(self.organization, name, "private") for name in [*SHARES, "rest"]}
        for user in SHARES:
            for project in [*SHARES, "rest"] if user == "all" else [user]:
                db.execute(
                    "insert into loci.project_members (project_id, user_id) values (%s, %s)",
                    self.projects[project], self.users[user],
                )  # fmt: skip
        names = [name for name in SHARES if name != "all"]
        shares = [SHARES[name] for name in names]
        chosen = rng.choices([*names, "rest"], [*shares, 1 - sum(shares)], k=COUNT)
        self.vectors = clusters(rng, COUNT, 32)
        self.table = model(db, "tiny", 32)
        fill(db, self.table, self.vectors, [self.projects[name] for name in chosen])
        build_index(db, "tiny")
        self.queries = [text(vector) for vector in clusters(random.Random(7), 25, 32)]

    def scopes(self, user: str) -> list[UUID]:
        return list(self.projects.values()) if user == "all" else [self.projects[user]]

    def nearest(self, query: str, user: str, condition: str = "true") -> set[int]:
        rows = self.db.rows(
            "select e.chunk_id from (select e.chunk_id, e.embedding <=> %s::halfvec as distance "
            f"from {self.table} as e join loci_private.source_rows as r using (row_id) "
            f"where e.scope_id = any(%s) and {condition} offset 0) as e order by distance limit {K}",
            query,
            self.scopes(user),
        )
        return {row["chunk_id"] for row in rows}

    def recall(self, user: str, condition: str = "true", **arguments: Any) -> float:
        """Of the nearest there are; and as many as there are must come."""
        found = wanted = 0
        given = "".join(f", {name} => %s" for name in arguments)
        with self.db.acting(self.users[user]) as connection:
            for query in self.queries:
                rows = connection.execute(
                    f"select * from loci.search_vector(%s, k => {K}{given})".encode(), (query, *arguments.values())
                ).fetchall()
                truth = self.nearest(query, user, condition)
                assert len(rows) == len(truth)
                assert [row["vector_rank"] for row in rows] == list(range(1, len(rows) + 1))
                assert [row["similarity"] for row in rows] == sorted((row["similarity"] for row in rows), reverse=True)
                found += len({row["chunk_id"] for row in rows} & truth)
                wanted += len(truth)
        return found / wanted

    def route(self, user: str, want: int = K, k: int | None = None) -> dict[str, Any]:
        with self.db.connect() as connection, connection.transaction():
            connection.execute("select loci.act_as(%s)", (self.users[user],))
            row = connection.execute(
                "select r.* from loci_private.vector_route(%s, loci_private.search_filter(null, null, null, null, null), %s, %s) as r",
                (int(self.table.rsplit("_", 1)[1]), k or want, want),
            ).fetchone()
        assert row is not None
        return row


@pytest.fixture(scope="module")
def world(db: Database) -> World:
    return World(db)


@pytest.fixture
def setting(db: Database) -> Iterator[Callable[[str, str], None]]:
    yield lambda name, value: db.execute("update loci.settings set value = %s where name = %s", value, name)
    db.execute("update loci.settings set value = null")


# Limit of the exact scan: as it comes, always the index, never the index.
PATHS = pytest.mark.parametrize("limit", [None, "0", "1000000"])


@PATHS
@pytest.mark.parametrize("user", SHARES)
def test_the_nearest_are_found_at_any_share(
    world: World, setting: Callable[[str, str | None], None], user: str, limit: str | None
) -> None:
    setting("exact_scan_limit", limit)
    assert world.route(user)["path"] == {None: "index" if user == "all" else "exact", "0": "index"}.get(limit, "exact")
    assert world.recall(user) >= 0.95


@PATHS
@pytest.mark.parametrize(
    ("arguments", "condition"),
    [
        ({"metadata": '{"tenth": true}'}, "r.metadata @> '{\"tenth\": true}'"),
        ({"sources": ["documents"]}, "e.source_id = 1"),
        ({"since": "2000-01-01", "until": "2001-01-01"}, "false"),
        ({"min_similarity": -2.0}, "true"),
    ],
)
def test_filters_shorten_nothing(
    world: World,
    setting: Callable[[str, str | None], None],
    arguments: dict[str, Any],
    condition: str,
    limit: str | None,
) -> None:
    setting("exact_scan_limit", limit)
    if condition == "false":
        with world.db.acting(world.users["all"]) as connection:
            assert not connection.execute(
                "select from loci.search_vector(%s, since => %s, until => %s)", (world.queries[0], *arguments.values())
            ).fetchall()
    else:
        assert world.recall("all", condition, **arguments) >= 0.95


def test_k_beyond_what_the_graph_gives_at_once(world: World, setting: Callable[[str, str], None]) -> None:
    setting("exact_scan_limit", "0")
    with world.db.acting(world.users["eighth"]) as connection:
        visible = world.db.value(f"select count(*) from {world.table} where scope_id = %s", world.projects["eighth"])
        rows = connection.execute(
            "select chunk_id from loci.search_vector(%s, k => 1000)", (world.queries[0],)
        ).fetchall()
        assert len(rows) == min(1000, visible)


def test_statistics_that_are_wrong_cost_time_and_nothing_else(
    world: World, setting: Callable[[str, str | None], None]
) -> None:
    """They say that half of the table is visible, after nearly all of it has gone elsewhere."""
    db = world.db
    setting("exact_scan_limit", "500")
    assert world.route("half")["counted"] is False
    moved = "update {} set scope_id = %s where scope_id = %s and chunk_id %% 100 <> 0"
    db.execute(moved.format(world.table), world.projects["rest"], world.projects["half"])
    try:
        route = world.route("half")
        assert route["path"] == "index"
        assert route["visible"] > 2000
        assert world.recall("half") >= 0.95
    finally:
        db.execute(
            f"update {world.table} as e set scope_id = c.scope_id from loci_private.chunks as c "
            "where c.chunk_id = e.chunk_id and c.scope_id <> e.scope_id"
        )
        db.execute("analyze")


def test_the_walk_is_bounded_by_what_pgvector_takes(world: World, setting: Callable[[str, str], None]) -> None:
    setting("exact_scan_limit", "0")
    route = world.route("half", 1_000_000_000, k=10)
    assert (route["path"], route["ef_search"], route["max_scan_tuples"]) == ("index", 1000, 2_000_000_000)


def test_without_statistics_it_counts(new_database: Callable[..., Database]) -> None:
    db = new_database()
    people = db.people()
    table = model(db, "tiny", 32)
    fill(db, table, clusters(random.Random(1), 3000, 32), [people.acme] * 3000)
    db.execute("update loci.settings set value = '100' where name in ('index_threshold', 'exact_scan_limit')")
    build_index(db, "tiny")
    db.execute("delete from pg_statistic where starelid = %s::regclass", table)
    with db.connect() as connection, connection.transaction():
        connection.execute("select loci.act_as(%s)", (people.ada,))
        route = connection.execute(
            "select r.* from loci_private.vector_route(%s, loci_private.search_filter(null, null, null, null, null), 10, 10) as r",
            (int(table.rsplit("_", 1)[1]),),
        ).fetchone()
    assert route is not None
    assert (route["path"], route["counted"], route["visible"]) == ("index", True, 101)


def test_rows_for_few_of_a_scope_are_found(world: World, setting: Callable[[str, str | None], None]) -> None:
    """A scope full of rows that others keep to themselves."""
    db = world.db
    setting("exact_scan_limit", "0")
    db.execute(
        f"update {world.table} set audience = case when chunk_id %% 200 = 0 then array[%s]::uuid[] else array[%s]::uuid[] end",
        world.users["half"], world.users["nobody"],
    )  # fmt: skip
    try:
        db.execute("analyze")
        assert world.recall("half", "mod(e.chunk_id, 200) = 0") == 1
    finally:
        db.execute(f"update {world.table} set audience = null")
        db.execute("analyze")


@pytest.mark.parametrize(
    ("query", "arguments", "code"),
    [
        ("[1,2,3]", {}, "LC305"),
        (text([0.0] * 32), {}, "LC305"),
        (None, {}, "LC305"),
        (text([1.0] * 32), {"k": 0}, "LC302"),
        (text([1.0] * 32), {"k": 1001}, "LC302"),
        (text([1.0] * 32), {"sources": ["nowhere"]}, "LC249"),
        (text([1.0] * 32), {"model": "nothing"}, "LC214"),
        (text([1.0] * 32), {"model": "hash"}, "LC305"),
    ],
)
def test_bad_vectors_are_refused(world: World, query: str | None, arguments: dict[str, Any], code: str) -> None:
    given = "".join(f", {name} => %s" for name in arguments)
    with world.db.acting(world.users["all"]) as connection:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute(
                f"select * from loci.search_vector(%s::halfvec{given})".encode(), (query, *arguments.values())
            )
        assert caught.value.sqlstate == code
        assert caught.value.diag.message_hint


def test_a_vector_among_rows_of_several_models_needs_its_name(new_database: Callable[..., Database]) -> None:
    db = new_database()
    people = db.people()
    db.execute("select loci.add_embedding_model('other', provider => 'hash', dimensions => 64)")
    db.execute("select loci.use_embedding_model('other', %s)", people.umbrella)
    db.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.umbrella, people.ada
    )
    db.document(people.acme, "a stork")
    db.document(people.umbrella, "a heron")
    db.drain()
    with db.acting(people.ada) as connection:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute("select * from loci.search_vector((select loci.embed('stork', model => 'other')))")
        assert caught.value.sqlstate == "LC306"
        for name, content in (("other", "a heron"), ("hash", "a stork")):
            rows = connection.execute(
                "select content from loci.search_vector(loci.embed('stork', model => %s), model => %s)", (name, name)
            ).fetchall()
            assert [row["content"] for row in rows] == [content]
        rows = connection.execute(
            "select content from loci.search_vector(loci.embed('stork', model => 'hash'), scopes => %s)",
            ([people.acme],),
        ).fetchall()
        assert [row["content"] for row in rows] == ["a stork"]


# --- similar -----------------------------------------------------------------------------------------------------------


def test_similar_rows_are_the_nearest_others(world: World) -> None:
    db = world.db
    key, vector = next(
        iter(
            (row["key"], row["embedding"])
            for row in db.rows(
                f"select r.key, e.embedding::text from {world.table} as e join loci_private.source_rows as r using (row_id) "
                "where e.scope_id = %s limit 1",
                world.projects["half"],
            )
        )
    )
    with db.acting(world.users["half"]) as connection:
        rows = connection.execute("select * from loci.similar('documents', %s, 5)", (key,)).fetchall()
        near = connection.execute("select * from loci.search_vector(%s, 6)", (vector,)).fetchall()
    assert near[0]["key"] == key
    assert [row["key"] for row in rows] == [row["key"] for row in near][1:]
    assert [row["vector_rank"] for row in rows] == [1, 2, 3, 4, 5]


def test_similar_gives_each_row_once(new_database: Callable[..., Database]) -> None:
    """A long row with many passages does not crowd the others out."""
    db = new_database()
    people = db.people()
    long = "\n\n".join("The stork flew over the lake and the hills. " * 40 for _ in range(12))
    asked, long_one = db.document(people.acme, "The stork flew over the lake."), db.document(people.acme, long)
    others = {db.document(people.acme, f"Accounting rules, part {n}") for n in range(3)}
    waiting = db.document(people.acme, None)
    db.drain()
    assert db.value(f"select count(*) from {embeddings_table(db)}") > 12
    with db.acting(people.ada) as connection:
        rows = connection.execute("select * from loci.similar('documents', %s, 4)", (str(asked),)).fetchall()
        assert rows[0]["key"] == str(long_one)
        assert {row["key"] for row in rows[1:]} == {str(other) for other in others}
        rows = connection.execute("select * from loci.similar('documents', %s, 10)", (str(long_one),)).fetchall()
        assert {row["key"] for row in rows} == {str(other) for other in [*others, asked]}
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute("select * from loci.similar('documents', %s)", (str(waiting),))
        assert caught.value.sqlstate == "LC307"


# --- explain_search ----------------------------------------------------------------------------------------------------


def explain(connection: Any, query: str, **arguments: Any) -> list[tuple[str, str]]:
    given = "".join(f", {name} => %s" for name in arguments)
    rows = connection.execute(
        f"select * from loci.explain_search(%s{given})".encode(), (query, *arguments.values())
    ).fetchall()
    assert max(len(row["step"]) + len(row["detail"]) for row in rows) < 80
    return [(row["step"].strip(), row["detail"]) for row in rows]


def test_explain_search_tells_the_path_and_why(world: World, setting: Callable[[str, str], None]) -> None:
    with world.db.acting(world.users["eighth"]) as connection:
        steps = explain(connection, "v1")
        assert ("path", "exact: compares every vector that may be found") in steps
        assert ("why", "few enough vectors to compare them all") in steps
        setting("exact_scan_limit", "1000000")
        assert ("why", "the model has few vectors") in explain(connection, "v1")
        setting("exact_scan_limit", "0")
        steps = explain(connection, "v1", metadata='{"tenth": true}', mode="vector")
        assert ("filters", "metadata") in steps
        assert ("path", "index: walks the HNSW graph") in steps
        assert "words" not in dict(steps)
        steps = explain(connection, "v1", mode="keyword")
        assert "path" not in dict(steps)
        assert "words" in dict(steps)


def test_explain_search_says_why_there_are_only_words(new_database: Callable[..., Database]) -> None:
    db = new_database()
    people = db.people()
    db.execute("select loci.add_embedding_model('far', provider => 'litellm', dimensions => 64)")
    db.execute(
        "update loci_private.model_assignments set active_model = m.model_id, target_model = m.model_id "
        "from loci.embedding_models as m where m.name = 'far'"
    )
    with db.acting(people.ada) as connection:
        steps = explain(connection, "storks")
        assert dict(steps)["model far"].startswith("words only: ")
        assert dict(steps)["model far"].endswith("(LC400)")
    with db.acting(None) as connection:
        assert explain(connection, "storks") == [("asking", "nobody is named: nothing is found (loci.act_as)")]


@pytest.mark.parametrize(
    ("arguments", "code"), [({"k": 0}, "LC302"), ({"mode": "magic"}, "LC303"), ({"sources": ["nowhere"]}, "LC249")]
)
def test_explain_search_refuses_what_search_refuses(world: World, arguments: dict[str, Any], code: str) -> None:
    with world.db.acting(world.users["all"]) as connection:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            explain(connection, "v1", **arguments)
        assert caught.value.sqlstate == code


# --- binary quantization -----------------------------------------------------------------------------------------------


def test_bits_find_candidates_and_vectors_decide(new_database: Callable[..., Database]) -> None:
    db = new_database()
    ada = db.user("ada@example.org")
    large, small = db.organization("Large", ada), db.organization("Small", ada)
    table = model(db, "bits", 256, "binary")
    vectors = clusters(random.Random(3), 3000, 256, 100)
    fill(db, table, vectors, [small if n % 10 == 0 else large for n in range(3000)])
    db.execute("update loci.settings set value = '100' where name = 'index_threshold'")
    build_index(db, "bits")
    assert "bit_hamming_ops" in db.value("select pg_get_indexdef(%s::regclass)", f"{table}_hnsw")
    db.execute("update loci.settings set value = '0' where name = 'exact_scan_limit'")
    queries = [text(vector) for vector in clusters(random.Random(3), 20, 256, 100)]
    for scopes in ([large, small], [small]):
        found = 0
        with db.acting(ada) as connection:
            for query in queries:
                rows = connection.execute(
                    "select * from loci.search_vector(%s, 10, scopes => %s)", (query, scopes)
                ).fetchall()
                truth = db.rows(
                    f"select e.chunk_id from (select chunk_id, embedding <=> %s::halfvec as distance from {table} "
                    "where scope_id = any(%s) offset 0) as e order by distance limit 10",
                    query, scopes,
                )  # fmt: skip
                assert len(rows) == 10
                found += len({row["chunk_id"] for row in rows} & {row["chunk_id"] for row in truth})
        assert found >= 0.95 * 10 * len(queries)


@pytest.mark.parametrize(("dimensions", "quantization"), [(128, "binary"), (512, "ternary"), (512, None)])
def test_impossible_quantization_is_refused(db: Database, dimensions: int, quantization: str | None) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute(
            "select loci.add_embedding_model('q', provider => 'hash', dimensions => %s, quantization => %s)",
            dimensions, quantization,
        )  # fmt: skip
    assert caught.value.sqlstate == "LC222"
