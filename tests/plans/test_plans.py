"""What the planner does with the statements that must be quick, on tables of some size: read from auto_explain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database, People, embeddings_table

ROWS = 20_000
# What the text of each arm's statement has in it.
VECTOR_ARM = ("select s.chunk_id, s.distance",)
GRAPH = ("with near as materialized",)
KEYWORD_ARM = ("promising as materialized", "lexemes @@")


@dataclass
class Plan:
    """One executed statement: its text and its plan."""

    query: str
    tree: dict[str, Any]

    def nodes(self, tree: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        tree = self.tree if tree is None else tree
        yield tree
        for child in tree.get("Plans", []):
            yield from self.nodes(child)

    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes() if "Index Name" in node}

    def scanned(self) -> set[str]:
        """Tables that were read from the first row to the last; parts of a plan that never ran do not count."""
        return {
            node["Relation Name"]
            for node in self.nodes()
            if node["Node Type"] == "Seq Scan" and node["Actual Loops"] > 0
        }

    def kinds(self) -> list[str]:
        return [node["Node Type"] for node in self.nodes()]


class Explained:
    """A session whose statements, nested ones too, are explained as they run."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._messages: list[str] = []
        connection.add_notice_handler(self._note)
        connection.execute("load 'auto_explain'")
        for setting, value in (
            ("auto_explain.log_format", "json"),
            ("auto_explain.log_analyze", "on"),
            ("auto_explain.log_timing", "off"),
            ("auto_explain.log_nested_statements", "on"),
            ("auto_explain.log_min_duration", "0"),
            ("client_min_messages", "log"),
            # What a disk without moving parts is like: on a few thousand rows the choice of an index hangs on it.
            ("random_page_cost", "1.1"),
        ):
            connection.execute("select set_config(%s, %s, false)", (setting, value))

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        message = notice.message_primary or ""
        if message.startswith("duration:") and "plan:" in message:
            self._messages.append(message[message.index("{") :])

    def run(self, sql: str, *parameters: Any, rollback: bool = True) -> list[Plan]:
        """All plans of a statement; what it did is undone."""
        with self.connection.transaction(force_rollback=rollback):
            return self.within(sql, *parameters)

    def within(self, sql: str, *parameters: Any) -> list[Plan]:
        self._messages.clear()
        self.connection.execute(cast(LiteralString, sql), parameters or None)
        explained = [json.loads(message) for message in self._messages]
        return [Plan(plan["Query Text"], plan["Plan"]) for plan in explained]


def only(plans: list[Plan], *parts: str) -> Plan:
    """The one statement whose text has all of these parts."""
    found = [plan for plan in plans if all(part in plan.query for part in parts)]
    assert len(found) == 1, [plan.query[:80] for plan in plans]
    return found[0]


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    """A hundredth of all rows are Acme's, some are Ada's; queues have some thousands of rows."""
    people = db.people()
    db.execute("select loci.add_embedding_model('tiny', provider => 'hash', dimensions => 16)")
    db.execute("select loci.use_embedding_model('tiny')")
    table = embeddings_table(db)
    db.execute("set synchronize_seqscans = off")
    db.execute(
        f"""
        insert into loci_private.source_rows (source_id, key, version, placed_version, organization_id, scope_id, updated_at)
        select 1, gen_random_uuid(), 0, 0, s.organization_id, coalesce(s.owner, s.organization_id), now()
        from (
            select case when mod(n, 100) < 2 then '{people.acme}'::uuid else '{people.umbrella}'::uuid end as organization_id,
                case when mod(n, 1000) = 1 then '{people.ada}'::uuid end as owner
            from generate_series(1, {ROWS}) as n
        ) as s
        """
    )
    db.execute(
        """
        insert into loci_private.chunks (
            row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, text_hash, token_count, lexemes,
            created_at, updated_at
        )
        select row_id, 1, (select active_chunking from loci_private.chunking_assignments where source_id = 1),
            organization_id, scope_id, 0, t.t, sha256(convert_to(t.t, 'UTF8')), 5, to_tsvector('english', t.t), now(), now()
        from loci_private.source_rows, lateral (select 'text ' || row_id || ' apple' || row_id % 500 as t) as t
        """
    )
    db.execute(
        f"""
        insert into {table} (chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, embedding, created_at)
        select c.chunk_id, c.row_id, 1, c.chunking_id, c.organization_id, c.scope_id,
            (select array_agg(random() - 0.5) from generate_series(1, 16) as n where n + 0 * c.chunk_id > 0)::vector::halfvec, now()
        from loci_private.chunks as c
        """
    )
    with db.connect() as connection:
        connection.execute(db.value("select statement from loci.model_indexes where model = 'tiny'").encode())
    db.execute(
        "insert into loci_private.row_queue (source_id, key, op) select 1, gen_random_uuid(), 'upsert' from generate_series(1, 8000)"
    )
    db.execute(
        """
        insert into loci_private.embed_queue (model_id, chunk_id)
        select m.model_id, c.chunk_id from loci_private.chunks as c, loci.embedding_models as m
        where c.row_id % 4 = 0 and m.name in ('tiny', 'hash')
        """
    )
    db.execute("create schema app; create table app.notes (id bigint primary key, body text, place uuid)")
    db.execute(f"insert into app.notes select n, 'note ' || n, '{people.acme}' from generate_series(1, {ROWS}) as n")
    db.execute(
        "select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes', backfill => false)"
    )
    db.execute("analyze")
    return people


@pytest.fixture
def explained(db: Database, people: People) -> Iterator[Explained]:
    with db.connect() as connection:
        yield Explained(connection)


@pytest.fixture
def setting(db: Database) -> Iterator[Callable[[str, str], None]]:
    yield lambda name, value: db.execute("update loci.settings set value = %s where name = %s", value, name)
    db.execute("update loci.settings set value = null")


# --- queues -----------------------------------------------------------------------------------------------------------


def test_claiming_rows_reads_the_queue_by_its_indexes(explained: Explained) -> None:
    plans = explained.run("select * from loci_private.claim_rows(gen_random_uuid())")
    marks = only(plans, "with picked as", "op in ('place'")
    others = only(plans, "with picked as", "op in ('upsert'")
    # Marks are few among many: nobody wades through what is waiting to find that there is none.
    assert marks.indexes() <= {"row_queue_placing", "row_queue_marking", "row_queue_pkey"}
    assert "row_queue_pkey" in others.indexes()
    assert "row_queue" not in marks.scanned() | others.scanned()
    # In order as it lies in the index, never all of it sorted.
    assert "Sort" not in others.kinds()
    assert "row_queue" not in {table for plan in plans for table in plan.scanned()}


def test_claiming_chunks_reads_the_queue_by_its_index(explained: Explained, db: Database) -> None:
    model = int(embeddings_table(db).rsplit("_", 1)[1])
    plans = explained.run("select * from loci_private.claim_chunks(gen_random_uuid(), %s)", model)
    claim = only(plans, "with picked as")
    assert "embed_queue_model_id_queue_id_idx" in claim.indexes()
    assert "Sort" not in claim.kinds()
    assert {table for plan in plans for table in plan.scanned()} & {"embed_queue", "chunks"} == set()


def test_finding_vectors_that_exist_uses_indexes(explained: Explained, db: Database) -> None:
    model = int(embeddings_table(db).rsplit("_", 1)[1])
    hashes = [row["h"] for row in db.rows("select encode(text_hash, 'hex') as h from loci_private.chunks limit 100")]
    plan = only(explained.run("select * from loci_private.known_vectors(%s, %s)", model, hashes), "cross join lateral")
    assert {"chunks_text_hash_idx", f"embeddings_{model}_pkey"} <= plan.indexes()
    assert plan.scanned() == set()


def test_reading_watched_rows_uses_their_key(explained: Explained, db: Database) -> None:
    source = db.value("select source_id from loci.sources where name = 'notes'")
    keys = [str(n) for n in range(1, 51)]
    plans = explained.run("select * from loci_private.read_rows(%s, %s)", source, keys)
    read = only(plans, "from app.notes")
    assert read.indexes() == {"notes_pkey"}
    assert read.scanned() == set()


# --- applications -------------------------------------------------------------------------------------------------------


def test_a_watched_insert_looks_nothing_up(explained: Explained, people: People) -> None:
    plans = explained.run("insert into app.notes values (-1, 'new', %s), (-2, 'new', %s)", people.acme, people.acme)
    # The application's statement and one more.
    assert len(plans) == 2
    queueing = only(plans, "row_queue")
    assert queueing.kinds() == ["ModifyTable", "Subquery Scan", "Limit", "Named Tuplestore Scan"]


def test_a_large_watched_insert_looks_nothing_up_either(explained: Explained, people: People) -> None:
    plans = explained.run("insert into app.notes select -n, 'new', %s from generate_series(101, 150) as n", people.acme)
    # One more for the rows in bulk, however many they are.
    assert len(plans) == 3
    assert only(plans, "into loci_private.row_queue").kinds() == [
        "ModifyTable",
        "Subquery Scan",
        "Limit",
        "Named Tuplestore Scan",
    ]
    assert set(only(plans, "row_bulk").kinds()) == {
        "ModifyTable", "Subquery Scan", "Aggregate", "Limit", "Named Tuplestore Scan"
    }  # fmt: skip


def test_an_update_that_changes_nothing_looks_nothing_up(explained: Explained, people: People) -> None:
    plans = explained.run("update app.notes set body = body where id < 100")
    queueing = only(plans, "row_queue")
    assert {node["Relation Name"] for node in queueing.nodes() if "Relation Name" in node} <= {"row_queue"}
    assert queueing.scanned() == set()
    assert len(plans) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "delete from loci.documents where document_id = %s",
        "update loci.documents set scope_id = %s where document_id = %s",
    ],
)
def test_moving_and_deleting_use_indexes(explained: Explained, db: Database, people: People, statement: str) -> None:
    row = db.rows("select key, row_id from loci_private.source_rows where scope_id = %s limit 1", people.acme)[0]
    connection = explained.connection
    with connection.transaction(force_rollback=True):
        # The row that belongs to what is indexed.
        connection.execute("alter table loci.documents disable trigger user")
        connection.execute(
            "insert into loci.documents (document_id, scope_id, content) values (%s, %s, 'x')",
            (row["key"], people.acme),
        )
        connection.execute("alter table loci.documents enable trigger user")
        given = (people.umbrella, row["key"]) if "scope_id" in statement else (row["key"],)
        plans = explained.within(statement, *given)
    large = {"row_queue", "embed_queue", "source_rows", "chunks", embeddings_table(db).split(".")[1]}
    assert {table for plan in plans for table in plan.scanned()} & large == set()


# --- search -------------------------------------------------------------------------------------------------------------


def search(explained: Explained, user: UUID, text: str = "apple7", **arguments: Any) -> list[Plan]:
    given = "".join(f", {name} => %s" for name in arguments)
    with explained.connection.transaction(force_rollback=True):
        explained.connection.execute("select loci.act_as(%s)", (user,))
        return explained.within(f"select * from loci.search(%s{given})", text, *arguments.values())


def test_few_visible_vectors_are_compared_by_their_scope(explained: Explained, db: Database, people: People) -> None:
    table = embeddings_table(db).split(".")[1]
    plans = search(explained, people.ada)
    compared = only(plans, *VECTOR_ARM)
    assert f"{table}_scope_id_source_id_idx" in compared.indexes()
    assert f"{table}_hnsw" not in compared.indexes()
    assert {name for plan in plans for name in plan.scanned()} & {table, "chunks", "source_rows"} == set()


def test_many_visible_vectors_are_found_by_the_graph(
    explained: Explained, db: Database, people: People, setting: Callable[[str, str], None]
) -> None:
    setting("exact_scan_limit", "1000")
    table = embeddings_table(db).split(".")[1]
    plans = search(explained, people.eve, mode="vector")
    nearest = only(plans, *GRAPH)
    assert nearest.indexes() & {f"{table}_hnsw"}
    assert "Sort" not in nearest.kinds()
    assert not [plan for plan in plans if all(part in plan.query for part in VECTOR_ARM)]
    assert {name for plan in plans for name in plan.scanned()} & {table, "chunks", "source_rows"} == set()


def test_words_are_found_by_their_index(explained: Explained, people: People) -> None:
    plans = search(explained, people.eve, mode="keyword")
    assert "chunks_lexemes" in only(plans, *KEYWORD_ARM).indexes()
    assert {name for plan in plans for name in plan.scanned()} & {"chunks", "source_rows"} == set()


def test_metadata_is_found_by_its_index_or_row(explained: Explained, db: Database, people: People) -> None:
    plans = search(explained, people.ada, metadata='{"a": 1}')
    assert "source_rows" not in {name for plan in plans for name in plan.scanned()}


@pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
def test_visibility_is_part_of_the_plan(explained: Explained, people: People, mode: str) -> None:
    """The predicate is inlined: no function is called for each row."""
    plans = search(explained, people.ada, mode=mode)
    arms = [arm for name, arm in (("keyword", VECTOR_ARM), ("vector", KEYWORD_ARM)) if mode != name]
    for arm in arms:
        found = only(plans, *arm)
        text = json.dumps(found.tree)
        assert "is_visible" not in text
        assert "= ANY" in text
        assert "audience IS NULL" in text
        # Whether anything is marked at all is asked before, and answered by an index.
        assert "row_queue" not in {name for plan in plans for name in plan.scanned()}
        assert not found.indexes() & {"row_queue_placing", "row_queue_marking"}


def test_a_mark_is_looked_up_once(explained: Explained, db: Database, people: People) -> None:
    """One row deleted but not cleaned up: the others are not paid for with a look at the queue each."""
    table = embeddings_table(db).split(".")[1]
    key = db.value("select key from loci_private.source_rows where scope_id = %s limit 1", people.acme)
    with explained.connection.transaction(force_rollback=True):
        explained.connection.execute(
            "insert into loci_private.row_queue (source_id, key, op) values (1, %s, 'place')", (key,)
        )
        explained.connection.execute("select loci.act_as(%s)", (people.ada,))
        plans = explained.within("select * from loci.search('apple7')")
    for plan in (only(plans, *VECTOR_ARM), only(plans, *KEYWORD_ARM)):
        assert plan.scanned() & {table, "chunks", "source_rows"} == set()
        for node in plan.nodes():
            if node.get("Relation Name") == "row_queue":
                assert node["Actual Loops"] <= 1


def test_chunks_are_told_apart_only_while_something_is_switched(explained: Explained, people: People) -> None:
    switching = "update loci_private.chunking_assignments set surplus = true where source_id = 1"
    for change, parts in (("select 1", 0), (switching, 2)):
        with explained.connection.transaction(force_rollback=True):
            explained.connection.execute(cast(LiteralString, change))
            explained.connection.execute("select loci.act_as(%s)", (people.ada,))
            plans = explained.within("select * from loci.search('apple7')")
        arms = [only(plans, *arm) for arm in (VECTOR_ARM, KEYWORD_ARM)]
        assert sum("chunking_id" in arm.query for arm in arms) == parts


def test_counting_what_is_visible_reads_the_index_alone(
    explained: Explained, db: Database, people: People, setting: Callable[[str, str], None]
) -> None:
    """Who sees few chunks is told by them; else vectors are counted, unless statistics know of many more."""
    table = embeddings_table(db).split(".")[1]
    db.execute(f"vacuum loci_private.{table}, loci_private.chunks")
    for limit, counted in (("1000", ["chunks"]), ("300", ["chunks", table])):
        setting("exact_scan_limit", limit)
        plans = search(explained, people.ada)
        for name in ("chunks", table):
            found = [
                plan
                for plan in plans
                if "select count(*)" in plan.query and f"from loci_private.{name} as" in plan.query
            ]
            assert len(found) == (name in counted)
            for plan in found:
                assert plan.indexes() == {f"{name}_scope_id_source_id_idx"}
                assert "Index Only Scan" in plan.kinds()


def test_what_statistics_know_is_not_counted(
    explained: Explained, db: Database, people: People, setting: Callable[[str, str], None]
) -> None:
    setting("exact_scan_limit", "1000")
    plans = search(explained, people.eve, mode="vector")
    assert not [plan for plan in plans if "select count(*) from (select from loci_private" in plan.query]


def test_a_rare_property_is_compared_and_not_searched_for_in_the_graph(
    explained: Explained, db: Database, people: People, setting: Callable[[str, str], None]
) -> None:
    """eve sees nearly everything; what she asks for is rare: counted up to the limit, then compared."""
    setting("exact_scan_limit", "1000")
    table = embeddings_table(db).split(".")[1]
    plans = search(explained, people.eve, mode="vector", metadata='{"a": 1}')
    only(plans, "select count(*) from (select from loci_private", "metadata")
    assert f"{table}_hnsw" not in only(plans, *VECTOR_ARM).indexes()
    assert {name for plan in plans for name in plan.scanned()} & {"chunks", "source_rows"} == set()
    # Everything she sees is from the one source: that narrows nothing, and the graph serves.
    plans = search(explained, people.eve, mode="vector", sources=["documents"])
    assert f"{table}_hnsw" in only(plans, *GRAPH).indexes()


def test_bits_are_searched_by_their_index(
    explained: Explained, db: Database, people: People, setting: Callable[[str, str], None]
) -> None:
    setting("exact_scan_limit", "0")
    model = db.value(
        "select loci.add_embedding_model('bits', provider => 'hash', dimensions => 256, quantization => 'binary')"
    )
    db.execute(
        f"insert into loci_private.embeddings_{model} (chunk_id, row_id, source_id, chunking_id, scope_id, embedding, created_at) "
        "select c.chunk_id, c.row_id, 1, c.chunking_id, c.scope_id, array_fill(c.chunk_id::real, array[256])::vector::halfvec, now() "
        "from loci_private.chunks as c where c.chunk_id % 10 = 0"
    )
    db.execute(
        f"create index embeddings_{model}_hnsw on loci_private.embeddings_{model} "
        "using hnsw ((binary_quantize(embedding)::bit(256)) bit_hamming_ops)"
    )
    db.execute(f"analyze loci_private.embeddings_{model}")
    connection = explained.connection
    with connection.transaction(force_rollback=True):
        connection.execute("select loci.act_as(%s)", (people.eve,))
        plans = explained.within(
            "select * from loci.search_vector(array_fill(1, array[256])::vector::halfvec, model => 'bits')"
        )
    nearest = only(plans, *GRAPH)
    assert nearest.indexes() == {f"embeddings_{model}_hnsw"}
    db.execute("select loci.drop_embedding_model('bits')")


def test_removing_reads_no_more_than_there_is_in_a_session_that_began_with_nothing(
    new_database: Callable[..., Database],
) -> None:
    """Its plans are of empty tables, and a queue that was empty when it was analyzed counts as empty until the next time."""
    database = new_database()
    place = database.people().acme
    tables = ("row_queue", "source_rows", "chunks", "embed_queue", "failures", embeddings_table(database).split(".")[1])
    for table in tables:
        database.execute(f"alter table loci_private.{table} set (autovacuum_enabled = off)")
    for n in range(8):
        database.document(place, f"a small text, number {n}")
        database.drain()
        database.execute("delete from loci.documents")
        if n == 3:
            database.execute("analyze")
        database.drain()
    database.document(place, "\n\n".join(f"Part {n}. " + "many words follow one another " * 60 for n in range(400)))
    database.drain()
    database.execute(
        "insert into loci_private.embed_queue (model_id, chunk_id) select m.model_id, c.chunk_id "
        "from loci_private.chunks as c cross join loci.embedding_models as m where m.name = 'hash'"
    )
    chunks = database.value("select count(*) from loci_private.embed_queue")
    assert chunks > 300
    with database.admin.transaction():
        before = rows_read(database, tables)
        database.execute("delete from loci.documents")
        read = {table: count - before.get(table, 0) for table, count in rows_read(database, tables).items()}
    assert database.value("select count(*) from loci_private.embed_queue") == 0
    assert database.value("select count(*) from loci_private.chunks") == 0
    assert read["chunks"] >= chunks and max(read.values()) < 10 * chunks, read


def rows_read(database: Database, tables: tuple[str, ...]) -> dict[str, int]:
    """By table, as far as this session has not reported them."""
    rows = database.rows(
        "select t.relname, t.seq_tup_read + coalesce(t.idx_tup_fetch, 0) as count from pg_stat_xact_all_tables as t "
        "where t.schemaname = 'loci_private' and t.relname = any(%s)",
        list(tables),
    )
    return {row["relname"]: row["count"] for row in rows}
