"""Coming from pgai: its real catalogue is taken over, and its functions (here a stand-in) embed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

import psycopg
import pytest

from loci_udfs.providers.base import ModelConfig, format_vector
from loci_udfs.providers.hash import provider as hash_provider
from tests.catalogue.test_docs import Psql, blocks_of
from tests.database import ROOT, Database, People, wait_until
from tests.environments import installed, run

# The first test of a checkout installs pgai.
pytestmark = pytest.mark.timeout(300)

DIMENSIONS = 64
MODEL = "text-embedding-3-small"
SPLITTER = "ai.chunking_recursive_character_text_splitter(1600, 200)"
TITLED = "ai.formatting_python_template(E'$title\\n\\n$chunk')"


@pytest.fixture(scope="session")
def pgai_python() -> Path:
    """A Python that has the real package pgai."""
    return installed("pgai", ROOT / "tests/pgai-requirements.txt") / "python"


@pytest.fixture(scope="session")
def pgai_template(new_database: Callable[..., Database], pgai_python: Path) -> str:
    """Name of a database that pgai lives in beside Loci."""
    database = new_database()
    done = run([str(pgai_python), "-m", "pgai", "install", "-d", database.dsn])
    assert done.returncode == 0, done.stderr
    database.close()
    return database.name


@pytest.fixture
def db(new_database: Callable[..., Database], pgai_template: str) -> Database:
    return new_database(pgai_template)


@pytest.fixture
def people(db: Database) -> People:
    return db.people()


def vectors(passages: Sequence[str], dimensions: int = DIMENSIONS) -> list[str]:
    """What the model is said to have made of them."""
    model = ModelConfig(1, MODEL, "hash", dimensions)
    return [format_vector(v) for v in hash_provider().embed(passages, "passage", model, lambda: None)]


class Vectorizer:
    """A vectorizer that there is, and pgai's worker for it."""

    def __init__(self, db: Database, table: str) -> None:
        self.db = db
        self.name = table
        (row,) = db.rows(
            "select * from ai.vectorizer where format('%%I.%%I', source_schema, source_table)::regclass = %s::regclass",
            table,
        )
        self.id = row["id"]
        self.config = row["config"]
        self.queue = f"ai.{row['queue_table']}"
        self.keys = [column["attname"] for column in row["source_pk"]]

    def work(self) -> None:
        """Embed what is queued, a chunk a paragraph, as pgai's worker writes it."""
        destination = self.config["destination"]
        template = Template(self.config["formatting"]["template"])
        for row in self.db.rows(
            f"select distinct s.* from {self.name} as s join {self.queue} using ({', '.join(self.keys)})"
        ):
            key = [row[column] for column in self.keys]
            match = " and ".join(f"{column} = %s" for column in self.keys)
            pieces = [row["body"]] if destination["implementation"] == "column" else row["body"].split("\n\n")
            formatted = [template.substitute(chunk=piece, **row) for piece in pieces]
            embeddings = vectors(formatted, self.config["embedding"]["dimensions"])
            if destination["implementation"] == "column":
                self.db.execute(
                    f"update {self.name} set {destination['embedding_column']} = %s where {match}",
                    *embeddings,
                    *key,
                )
            else:
                target = f'"{destination["target_schema"]}"."{destination["target_table"]}"'
                self.db.execute(f"delete from {target} where {match}", *key)
                for number, (text, vector) in enumerate(zip(formatted, embeddings, strict=True)):
                    self.db.execute(
                        f"insert into {target} ({', '.join(self.keys)}, chunk_seq, chunk, embedding) "
                        f"values ({', '.join(['%s'] * len(key))}, %s, %s, %s)",
                        *key, number, text, vector,
                    )  # fmt: skip
            self.db.execute(f"delete from {self.queue} where {match}", *key)

    def adopt(self, scope: str = "place", **arguments: str) -> list[str]:
        """Take it over; the notices."""
        return adopt(self.db.admin, self.id, scope, **arguments)


class Notes(Vectorizer):
    """A table of notes with a vectorizer."""

    def __init__(
        self,
        db: Database,
        *,
        columns: str = "id int primary key",
        table: str = "notes",
        name: str = "notes",
        **config: str,
    ) -> None:
        db.execute(f"create table {table} ({columns}, place uuid, title text, body text)")
        config = {
            "loading": "ai.loading_column('body')",
            "embedding": f"ai.embedding_openai('{MODEL}', {DIMENSIONS})",
            "chunking": SPLITTER,
            "formatting": TITLED,
            "scheduling": "ai.scheduling_none()",
            "indexing": "ai.indexing_none()",
            **config,
        }
        given = ", ".join(f"{key} => {value}" for key, value in config.items())
        db.execute(f"select ai.create_vectorizer('{table}'::regclass, name => '{name}', {given})")
        super().__init__(db, table)

    def insert(self, *rows: tuple[Any, ...]) -> None:
        for row in rows:
            marks = ", ".join(["%s"] * len(row))
            self.db.execute(f"insert into {self.name} values ({marks})", *row)


def adopt(connection: psycopg.Connection[Any], vectorizer: int, scope: str = "place", **arguments: str) -> list[str]:
    notices: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        notices.append(
            "\n".join(filter(None, (diagnostic.message_primary, diagnostic.message_detail, diagnostic.message_hint)))
        )

    given = "".join(f", {name} => %s" for name in arguments)
    connection.add_notice_handler(note)
    try:
        connection.execute(
            f"select loci.adopt_pgai_vectorizer(%s, %s{given})", (vectorizer, scope, *arguments.values())
        )
    finally:
        connection.remove_notice_handler(note)
    return notices


@contextmanager
def refused(sqlstate: str) -> Iterator[list[psycopg.Error]]:
    caught: list[psycopg.Error] = []
    with pytest.raises(psycopg.Error) as raised:
        yield caught
    assert raised.value.sqlstate == sqlstate, raised.value
    assert raised.value.diag.message_hint
    caught.append(raised.value)


def known(db: Database, model: str = MODEL) -> list[dict[str, Any]]:
    """Every chunk, with its vector of the model."""
    table = db.value("select 'loci_private.embeddings_' || model_id from loci.embedding_models where name = %s", model)
    return db.rows(
        f"""
        select r.key, c.ordinal, c.context, c.content, c.token_count, c.created_at, c.scope_id, e.embedding::text as embedding,
            c.text_hash = sha256(convert_to(concat_ws(E'\\n\\n', c.context, c.content), 'UTF8')) as hashed
        from loci_private.chunks as c
        join loci_private.source_rows as r using (row_id)
        left join {table} as e on e.chunk_id = c.chunk_id
        order by r.key, c.ordinal
        """
    )


def queued(db: Database) -> set[str]:
    return {row["key"] for row in db.rows("select key from loci_private.row_queue")}


def answer_queries(db: Database, model: str = MODEL) -> None:
    """From now on the model is to be had."""
    db.execute("update loci.embedding_models set provider = 'hash' where name = %s", model)


BODY = "The stork stands on one leg.\n\nThe heron waits for hours."


# --- taking over ------------------------------------------------------------------------------------------------------


def test_what_is_embedded_is_taken_over(db: Database, people: People) -> None:
    """Nothing can be embedded here: the gateway has no address."""
    notes = Notes(db)
    for n in range(8):
        notes.insert((n, people.acme if n % 2 else people.umbrella, f"Birds {n}", BODY.replace("stork", f"stork {n}")))
    notes.work()
    notes.insert((8, people.acme, "New", "An owl."), (9, people.acme, "Newer", "A wren."))
    notice = notes.adopt()[-1]
    assert notice.startswith("taken over from pgai: 16 chunks of 8 rows of public.notes; 2 rows wait")
    assert "1600 characters with 200 overlapping became 400 tokens with 50" in notice
    assert f"ai.drop_vectorizer({notes.id}, drop_all => true)" in notice
    (source,) = db.rows("select * from loci.sources where name = 'notes'")
    assert (source["content"], source["scope"], source["chunk_tokens"], source["chunk_overlap"]) == (
        '"body"',
        "place",
        400,
        50,
    )
    (model,) = db.rows("select * from loci.embedding_models where name = %s", MODEL)
    assert (model["provider"], model["dimensions"], model["gateway"]) == ("litellm", DIMENSIONS, "default")

    found = known(db)
    assert [(c["key"], c["ordinal"]) for c in found] == [(str(n), ordinal) for n in range(8) for ordinal in range(2)]
    assert [(c["context"], c["content"]) for c in found[2:4]] == [
        ("Birds 1", "The stork 1 stands on one leg."),
        ("Birds 1", "The heron waits for hours."),
    ]
    assert all(c["hashed"] and c["token_count"] > 0 for c in found)
    # Exactly what pgai embedded, so exactly its vectors.
    for chunk, vector in zip(found, vectors([f"{c['context']}\n\n{c['content']}" for c in found]), strict=True):
        distance = db.value(
            "select %s::public.halfvec(64) OPERATOR(public.<=>) %s::public.halfvec(64)", chunk["embedding"], vector
        )
        assert distance < 1e-3
    assert queued(db) == {"8", "9"}
    assert (
        db.value(
            "select count(*) from loci_private.embed_queue q join loci.embedding_models m using (model_id) where name = %s",
            MODEL,
        )
        == 0
    )

    db.execute("select loci.use_embedding_model(%s)", MODEL)
    assert db.value("select active_model = target_model from loci_private.model_assignments")
    assert db.found(people.ada, "stork", mode="keyword") == {f"The stork {n} stands on one leg." for n in (1, 3, 5, 7)}
    answer_queries(db)
    assert [row["title"] for row in db.search(people.ada, "Birds 3 stork 3 stands", k=1, mode="vector")] == [None]
    assert db.found(people.ada, "stork", mode="vector") == {c["content"] for c in found if c["scope_id"] == people.acme}
    assert db.found(people.eve, "stork", mode="vector") == {
        c["content"] for c in found if c["scope_id"] == people.umbrella
    }
    # The vectorizer is as it was.
    assert db.value("select count(*) from ai.vectorizer") == 1
    assert db.value(f"select count(*) from {notes.queue}") == 2


def test_only_missing_rows_are_embedded_and_changed_ones_cut_anew(db: Database, people: People) -> None:
    notes = Notes(db)
    notes.insert(*((n, people.acme, "Birds", BODY) for n in (1, 2)))
    notes.work()
    notes.insert((3, people.acme, "New", "An owl."))
    db.execute("select loci.add_embedding_model(%s, dimensions => %s)", MODEL, DIMENSIONS)
    db.execute("select loci.use_embedding_model(%s)", MODEL)
    notes.adopt(title="title")
    before = known(db)
    assert db.value("select count(*) from loci_private.embed_queue") == 0
    answer_queries(db)
    db.drain()
    after = known(db)
    assert after[:4] == before
    assert [(c["key"], c["content"]) for c in after[4:]] == [("3", "An owl.")]
    assert db.waiting() == 0
    assert db.value("select loci.reconcile(deep => true)") == 0

    db.execute("update notes set body = body || ' All day.' where id = 2")
    db.drain()
    after = known(db)
    assert after[:2] == before[:2]
    assert [(c["key"], c["content"]) for c in after[2:]] == [("2", BODY + " All day."), ("3", "An owl.")]
    assert db.search(people.ada, "heron all day", k=1)[0]["title"] == "Birds"

    # Text that Loci cuts as pgai did keeps its vector.
    db.execute("delete from notes where id = 2")
    db.execute("update notes set place = %s where id = 1", people.umbrella)
    assert db.found(people.ada, "stork", mode="keyword") == set()
    assert db.found(people.eve, "stork", mode="keyword") == {"The stork stands on one leg."}


def test_text_that_is_cut_the_same_keeps_its_vector(db: Database, people: People) -> None:
    notes = Notes(db)
    notes.insert((1, people.acme, "Birds", "The stork stands on one leg."))
    notes.work()
    notes.adopt(metadata="jsonb_build_object('length', length(body))")
    (before,) = known(db)
    db.execute("alter table notes add column note text")
    db.execute("update notes set body = body || ' ' where id = 1")
    db.drain()
    (after,) = known(db)
    assert after == before
    assert db.value("select metadata from loci_private.source_rows where key = '1'") == {"length": 29}


def test_what_changed_since_is_not_taken_over(db: Database, people: People) -> None:
    """Rows in pgai's queue, rows it failed on, rows changed behind its back, and rows with vectors of zeros."""
    notes = Notes(db)
    notes.insert(*((n, people.acme, "Birds", f"The secret of stork {n}.") for n in range(6)))
    notes.work()
    db.execute("update notes set body = 'Nothing.' where id = 1")
    db.execute(f"insert into {notes.queue.replace('_q_', '_q_failed_')} (id) values (2)")
    db.execute("alter table notes disable trigger all")
    db.execute("update notes set body = 'Nothing.' where id = 3")
    db.execute("delete from notes where id = 4")
    db.execute("alter table notes enable trigger all")
    db.execute("update notes_embedding_store set embedding = array_fill(0, array[64])::vector where id = 5")
    notes.adopt()
    assert {c["key"] for c in known(db)} == {"0"}
    assert queued(db) == {"1", "2", "3", "5"}
    assert db.found(people.ada, "secret stork", mode="keyword") == {"The secret of stork 0."}


@pytest.mark.parametrize(
    ("formatting", "context", "contents"),
    [
        ("'$chunk'", None, ["The stork.", "The heron."]),
        ("'$chunk '", None, ["The stork.", "The heron."]),
        (
            "'Title: $title, no ${id} costs $$5: $chunk'",
            "Title: O'Hara\\, no 7 costs $5:",
            ["The stork.", "The heron."],
        ),
        # What stands behind a chunk stays with it until the row changes.
        ("'$chunk ($title)'", None, ["The stork. (O'Hara\\)", "The heron. (O'Hara\\)"]),
        ("'$chunk $chunk'", None, ["The stork. The stork.", "The heron. The heron."]),
    ],
)
def test_templates(db: Database, people: People, formatting: str, context: str | None, contents: list[str]) -> None:
    notes = Notes(db, formatting=f"ai.formatting_python_template({formatting})")
    notes.insert((7, people.acme, "O'Hara\\", "The stork.\n\nThe heron."))
    notes.work()
    notes.adopt()
    assert [(c["context"], c["content"]) for c in known(db)] == [(context, content) for content in contents]
    db.execute("update notes set body = body || ' ' where id = 7")
    db.drain()
    (chunk,) = [c for c in known(db) if c["key"] == "7"]
    behind = {"'$chunk ($title)'": "(O'Hara\\)"}.get(formatting)
    assert (chunk["context"], chunk["content"]) == (behind or context, "The stork.\n\nThe heron.")


def test_a_missing_value_in_a_template(db: Database, people: People) -> None:
    """pgai wrote None; Loci leaves it out."""
    notes = Notes(db)
    notes.insert((1, people.acme, None, "The stork."))
    notes.work()
    assert db.value("select chunk from notes_embedding_store") == "None\n\nThe stork."
    notes.adopt()
    assert [(c["context"], c["content"]) for c in known(db)] == [(None, "The stork.")]


def test_composite_keys_and_odd_names(db: Database, people: People) -> None:
    db.execute('create schema "Odd one"')
    notes = Notes(db, columns="day date, no text, primary key (no, day)", table='"Odd one"."My notes"', name="odd")
    notes.insert(("2024-02-03", 'a"b', people.acme, "Birds", BODY), ("2024-02-04", 'a"b', people.acme, "Birds", BODY))
    notes.work()
    db.execute("""update "Odd one"."My notes" set body = 'Gone.' where day = '2024-02-04'""")
    notes.adopt(name="odd")
    key = '["a\\"b", "2024-02-0%d"]'
    assert [(c["key"], c["content"]) for c in known(db)] == [(key % 3, text) for text in BODY.split("\n\n")]
    assert queued(db) == {key % 4}
    answer_queries(db)
    db.execute("select loci.use_embedding_model(%s)", MODEL)
    db.drain()
    assert [c["content"] for c in known(db)] == [*BODY.split("\n\n"), "Gone."]


def test_vectors_in_the_table_itself(db: Database, people: People) -> None:
    notes = Notes(
        db,
        chunking="ai.chunking_none()",
        destination="ai.destination_column('vector')",
        embedding=f"ai.embedding_ollama('nomic-embed-text', {DIMENSIONS})",
    )
    notes.insert(*((n, people.acme, "Birds", BODY) for n in (1, 2)))
    notes.work()
    notes.insert((3, people.acme, "New", "An owl."))
    notice = notes.adopt()[-1]
    assert "does not cut texts" in notice
    found = known(db, "ollama/nomic-embed-text")
    assert [(c["key"], c["context"], c["content"]) for c in found] == [("1", "Birds", BODY), ("2", "Birds", BODY)]
    assert queued(db) == {"3"}
    # pgai's own writing does not count as a change.
    db.execute("delete from loci_private.row_queue")
    notes.work()
    assert queued(db) == set()


def test_nothing_embedded_yet(db: Database, people: People) -> None:
    notes = Notes(db)
    notes.insert((1, people.acme, "Birds", BODY))
    notes.adopt()
    assert known(db) == []
    assert queued(db) == {"1"}


def test_scope_and_audience_are_read_from_the_row(db: Database, people: People) -> None:
    notes = Notes(db)
    notes.insert(
        (1, people.acme, str(people.bob), "For Bob."), (2, None, "x", "For nobody."), (3, people.ada, "x", "Lost.")
    )
    db.execute("alter table notes disable trigger all")
    notes.work()
    db.execute("update notes set place = gen_random_uuid() where id = 3")
    notes.adopt(audience="case id when 1 then array[title::uuid] end")
    assert {c["key"] for c in known(db)} == {"1"}
    assert db.found(people.bob, "bob nobody lost", mode="keyword") == {"For Bob."}
    assert db.found(people.ada, "bob nobody lost", mode="keyword") == set()
    assert queued(db) == {"2", "3"}


def test_a_model_that_serves_already_takes_more_vectors(db: Database, people: People) -> None:
    """Its index is not built anew, and other sources stay as they are."""
    notes = Notes(db)
    notes.insert((1, people.acme, "Birds", BODY))
    notes.work()
    db.execute("select loci.add_embedding_model('mine', provider => 'hash', dimensions => %s)", DIMENSIONS)
    db.execute("select loci.use_embedding_model('mine')")
    db.document(people.acme, "A document about a stork.")
    db.drain()
    db.execute("update loci.settings set value = '1' where name = 'index_threshold'")
    db.execute(db.value("select statement from loci.model_indexes where model = 'mine'"))
    index = db.value(
        "select indexrelid from pg_index join pg_class c on c.oid = indexrelid where relname ~ '_hnsw$' order by 1 desc limit 1"
    )
    notes.adopt(model="mine")
    assert db.value("select count(*) from pg_class where oid = %s", index) == 1
    assert db.waiting() == 0
    assert len(db.search(people.ada, "stork", mode="vector")) == 3
    assert db.value("select count(*) from loci.embedding_models where name = %s", MODEL) == 0


def body(n: int) -> str:
    """No two say the same: copies of a passage are found once."""
    return BODY.replace("leg", f"leg {n}").replace("hours", f"hours {n}")


def test_chunks_that_pgai_cut_stay_until_the_chunking_changes(db: Database, people: People) -> None:
    """Another model leaves them as they are where it takes texts as long, and is filled with them."""
    notes = Notes(db)
    notes.insert(*((n, people.acme, "Birds", body(n)) for n in (1, 2, 3)))
    notes.work()
    notes.adopt()
    answer_queries(db)
    db.execute("select loci.use_embedding_model(%s)", MODEL)
    db.drain()
    before = known(db)
    assert len(before) == 6 and all(c["embedding"] for c in before)
    # One row is cut by Loci, the others are still pgai's.
    db.execute("update notes set body = body || ' All day.' where id = 3")
    db.drain()
    assert len(known(db)) == 5
    # Read again without having changed: nothing happens to them.
    db.execute(
        "insert into loci_private.row_queue (source_id, key, op) "
        "select source_id, '1', 'upsert' from loci.sources where name = 'notes'"
    )
    db.drain()
    assert known(db)[:4] == before[:4]

    # A model that takes shorter texts: they are cut for it, and found as they are until it is complete.
    db.execute("select loci.add_embedding_model('short', provider => 'hash', dimensions => 64, max_tokens => 100)")
    db.execute("update loci.embedding_models set provider = 'nobody' where name = 'short'")
    db.execute("select loci.use_embedding_model('short')")
    db.drain()
    assert len(db.search(people.ada, "stork heron", k=100, mode="vector")) == 5
    assert len(db.search(people.ada, "stork heron", k=100, mode="keyword")) == 5
    db.execute("update loci.embedding_models set provider = 'hash' where name = 'short'")
    db.execute("update loci_private.embed_queue set available_at = '-infinity'")
    db.drain()
    after = known(db, "short")
    assert [c["key"] for c in after] == ["1", "2", "3"] and all(c["embedding"] for c in after)
    assert [c["content"] for c in after[:2]] == [body(1), body(2)]
    assert len(db.search(people.ada, "stork heron", k=100)) == 3
    assert db.value("select loci.reconcile()") == 0


def test_chunks_that_pgai_cut_and_set_chunking(db: Database, people: People) -> None:
    notes = Notes(db)
    notes.insert(*((n, people.acme, "Birds", body(n)) for n in (1, 2)))
    notes.work()
    notes.adopt()
    answer_queries(db)
    db.execute("select loci.use_embedding_model(%s)", MODEL)
    db.drain()
    assert db.value("select loci.set_chunking('notes', 200, 0)")
    assert len(db.search(people.ada, "stork heron", k=100)) == 4
    db.drain()
    assert [c["content"] for c in known(db)] == [body(1), body(2)]
    assert len(db.search(people.ada, "stork heron", k=100)) == 2
    assert db.value("select loci.reconcile()") == 0


def test_what_is_to_be_redacted_is_cut_anew(db: Database, people: People) -> None:
    """Its vectors were made of everything; other organizations keep theirs."""
    db.execute("update loci.organizations set settings = '{\"redact\": true}' where organization_id = %s", people.acme)
    notes = Notes(db)
    notes.insert(
        (1, people.acme, "Birds", "Mail ada@example.org."), (2, people.umbrella, "Birds", "Mail eve@example.org.")
    )
    notes.work()
    notes.adopt()
    assert queued(db) == {"1"}
    answer_queries(db)
    db.execute("select loci.use_embedding_model(%s)", MODEL)
    db.drain()
    assert db.rows("select content, redacted from loci_private.chunks order by content") == [
        {"content": "Mail ada@example.org.", "redacted": "Birds\n\nMail [EMAIL]."},
        {"content": "Mail eve@example.org.", "redacted": None},
    ]


def test_writers_are_not_held_up_while_chunks_are_copied(db: Database, people: People) -> None:
    """What they write meanwhile is not lost, and never found as it was before."""
    notes = Notes(db)
    notes.insert(*((n, people.acme, "Birds", f"The secret of stork {n}.") for n in range(4)))
    notes.work()
    db.execute(
        """
        create or replace function loci_private.count_tokens(content text, tokenizer text) returns integer
        language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(7); return 5; end $$
        """
    )
    with db.connect() as gate, db.connect() as adopting, ThreadPoolExecutor(1) as threads:
        gate.execute("select pg_advisory_lock(7)")
        taking_over = threads.submit(adopt, adopting, notes.id)
        wait_until(
            lambda: db.rows(
                "select from pg_stat_activity where pid = %s and wait_event = 'advisory'", adopting.info.backend_pid
            ),
            "the copying waits",
        )
        db.execute("set statement_timeout = '10s'")
        db.execute("update notes set body = 'Nothing.' where id = 1")
        db.execute("update notes set place = %s where id = 2", people.umbrella)
        db.execute("delete from notes where id = 3")
        notes.insert((4, people.acme, "New", "An owl."))
        db.execute("reset statement_timeout")
        gate.execute("select pg_advisory_unlock(7)")
        taking_over.result(timeout=30)
    assert queued(db) == {"1", "2", "3", "4"}
    assert db.found(people.ada, "secret stork", mode="keyword") == {"The secret of stork 0."}
    assert db.found(people.eve, "secret stork", mode="keyword") == set()
    db.drain()
    assert {row["key"] for row in db.rows("select key from loci_private.source_rows")} == {"0", "1", "2", "4"}
    assert db.found(people.ada, "nothing owl secret stork", mode="keyword") == {
        "Nothing.",
        "An owl.",
        "The secret of stork 0.",
    }
    assert db.found(people.eve, "secret stork", mode="keyword") == {"The secret of stork 2."}


def test_the_manual(db: Database) -> None:
    """docs/from-pgai.md, where tests/catalogue leaves it: in a database with pgai."""
    blocks = [block for block in blocks_of(ROOT / "docs/from-pgai.md") if "pgai" in block.marks]
    assert len(blocks) == 5
    create, model, take_over, look, drop = blocks
    with Psql(db) as psql:
        psql.run(create)
        Vectorizer(db, "articles").work()
        db.execute("insert into articles (title, body) values ('Owls', 'The owl looks on.')")
        for block in (model, take_over):
            psql.run(block)
        assert len(known(db)) == 2
        assert "articles" in psql.run(look)
        psql.run(drop)
    assert db.value("select count(*) from ai.vectorizer") == 0
    assert db.value("select count(*) from pg_trigger where tgrelid = 'articles'::regclass") == 4
    answer_queries(db)
    db.drain()
    ada = db.user("ada@example.org")
    organization = db.value("select organization_id from loci.organizations")
    db.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", organization, ada)
    assert db.found(ada, "stork heron owl", mode="vector") == {
        "The stork stands on one leg.",
        "The heron waits for hours.",
        "The owl looks on.",
    }
    assert db.waiting() == 0


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_no_pgai(new_database: Callable[..., Database]) -> None:
    database = new_database()
    with refused("LC271"):
        adopt(database.admin, 1)


def test_unknown_vectorizer(db: Database) -> None:
    with refused("LC272") as errors:
        adopt(db.admin, 5)
    assert errors[0].diag.message_detail == "There are none."
    Notes(db)
    with refused("LC272") as errors:
        adopt(db.admin, 5)
    assert errors[0].diag.message_detail == "There are: 1 (public.notes)."


def test_twice(db: Database) -> None:
    notes = Notes(db)
    notes.adopt()
    with refused("LC276") as errors:
        notes.adopt()
    assert "loci.unwatch('public.notes')" in str(errors[0].diag.message_hint)
    db.execute("select loci.unwatch('notes', drop_index => false)")
    with refused("LC276"):
        notes.adopt()
    db.execute("select loci.watch('notes', 'body', 'place')")
    db.execute("select loci.unwatch('notes')")
    notes.adopt()


def test_nothing_is_left_behind_by_a_refusal(db: Database) -> None:
    notes = Notes(db)
    sources = db.value("select count(*) from loci_private.sources")
    db.execute("select loci.add_embedding_model(%s, dimensions => 32)", MODEL)
    with refused("LC274") as errors:
        notes.adopt()
    assert errors[0].diag.message_detail == "They have 64 dimensions, the model has 32."
    with refused("LC248"):
        notes.adopt(scope="no_such_column", model="other")
    with refused("LC248"):
        notes.adopt(scope="", model="other")
    db.execute("drop table notes_embedding_store cascade")
    with refused("LC273"):
        notes.adopt(model="other")
    assert db.value("select count(*) from loci_private.sources") == sources
    assert db.value("select count(*) from loci.embedding_models where name = 'other'") == 0
    assert db.rows("select proname from pg_proc where proname ~ '^(source_[0-9]+_pgai|pgai_vectorizers)$'") == []
    db.execute("drop table notes cascade")
    with refused("LC273"):
        notes.adopt(model="other")


@pytest.mark.parametrize(
    "loading",
    ["ai.loading_uri('title')", "ai.loading_column('scan')"],
    ids=["documents elsewhere", "documents in bytea"],
)
def test_documents_are_refused(db: Database, loading: str) -> None:
    notes = Notes(db, columns="id int primary key, scan bytea", loading=loading)
    with refused("LC275"):
        notes.adopt()


def test_isolation(db: Database) -> None:
    notes = Notes(db)
    with db.connect() as connection:
        connection.execute("begin isolation level repeatable read")
        with refused("LC279"):
            adopt(connection, notes.id)


def test_rights(db: Database, people: People) -> None:
    """loci_admin and the rights of the table's owner; what pgai made is read with the owner's rights, no more."""
    notes = Notes(db)
    notes.insert((1, people.acme, "Birds", BODY))
    notes.work()
    owner = db.login_role("owner", "loci_admin")
    other = db.login_role("other", "loci_admin")
    plain = db.login_role("plain")
    db.execute(f'alter table notes owner to "{owner}"')
    with db.connect(plain) as connection, refused_plainly():
        adopt(connection, notes.id)
    with db.connect(other) as connection:
        with refused("LC278"):
            adopt(connection, notes.id)
        db.execute(f'grant usage on schema ai to "{other}"')
        db.execute(f'grant select on ai.vectorizer to "{other}", "{owner}"')
        with refused("LC243"):
            adopt(connection, notes.id)
    with db.connect(owner) as connection:
        with refused("LC278") as errors:
            adopt(connection, notes.id)
        # The hint is what a superuser has to run.
        db.execute(str(errors[0].diag.message_hint))
        adopt(connection, notes.id)
    assert len(known(db)) == 2


@contextmanager
def refused_plainly() -> Iterator[None]:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        yield


def test_the_catalogue_is_read_with_its_owners_rights(db: Database) -> None:
    """Whoever made something in its place gets nothing to run as the superuser."""
    mallory = db.login_role("mallory", "loci_admin")
    db.execute("drop schema ai cascade")
    db.execute(f'create schema ai authorization "{mallory}"')
    with db.connect(mallory) as connection:
        connection.execute(
            "create function ai.trap() returns int language plpgsql as $$ begin raise 'run as %', current_user; end $$"
        )
        connection.execute("create view ai.vectorizer as select ai.trap() as id")
    with pytest.raises(psycopg.errors.RaiseException, match=f"run as {mallory}"):
        adopt(db.admin, 1)


# --- its functions ----------------------------------------------------------------------------------------------------

# As in the extension, with a log of what it was called with; vectors point where the first letter says.
STAND_IN = """
create schema if not exists ai;
create table ai.log (caller text, function text, arguments jsonb);
grant insert on ai.log to public;
create function ai.pretend(function text, model text, input_texts text[], arguments jsonb)
returns table ("index" int, embedding public.vector) language plpgsql volatile as $$
begin
    insert into ai.log values (current_user, function, arguments || jsonb_build_object('texts', cardinality(input_texts)));
    if exists (select from unnest(input_texts) as t where t like '%%429%%') then
        raise exception 'openai.RateLimitError: Error code: 429 for sk-abc123***' using errcode = '38000';
    end if;
    return query
    select t.n::int - 1,
        (
            select array_agg(case when i = ascii(lower(t.text)) - 96 then 2.0 else 0.01 end order by i)
            from generate_series(1, 32) as i
        )::public.vector
    from unnest(input_texts) with ordinality as t (text, n)
    order by random();
end $$;
create function ai.openai_embed(
    model text, input_texts text[], api_key text default null, api_key_name text default null, dimensions int default null,
    openai_user text default null, extra_headers jsonb default null, extra_query jsonb default null,
    extra_body jsonb default null, verbose boolean default false, client_config jsonb default null
) returns table ("index" int, embedding public.vector) language sql volatile as $$
    select * from ai.pretend('openai', model, input_texts, jsonb_strip_nulls(jsonb_build_object(
        'model', model, 'api_key', api_key, 'api_key_name', api_key_name, 'dimensions', dimensions, 'client_config', client_config
    )))
$$;
create function ai.litellm_embed(
    model text, input_texts text[], api_key text default null, api_key_name text default null,
    extra_options jsonb default null, verbose boolean default false
) returns table ("index" int, embedding public.vector) language sql volatile as $$
    select * from ai.pretend('litellm', model, input_texts, jsonb_strip_nulls(jsonb_build_object(
        'model', model, 'api_key', api_key, 'api_key_name', api_key_name, 'extra_options', extra_options
    )))
$$;
revoke execute on all functions in schema ai from public;
"""
GRANT = "grant usage on schema ai to loci_worker, loci_owner; grant execute on all functions in schema ai to loci_worker, loci_owner"
REVOKE = GRANT.replace("grant", "revoke").replace(" to ", " from ")


@pytest.fixture
def served(new_database: Callable[..., Database]) -> Database:
    """A database whose default model is served by the stand-in."""
    database = new_database()
    database.execute(STAND_IN.replace("%%", "%"))
    database.execute(GRANT)
    database.execute(
        "select loci.add_embedding_model('text-embedding-3-tiny', 'pgai', 32, max_batch => 2, passage_prefix => 'x: ', query_prefix => '')"
    )
    database.execute("select loci.use_embedding_model('text-embedding-3-tiny')")
    return database


def calls(database: Database) -> list[dict[str, Any]]:
    rows = database.rows("delete from ai.log returning *")
    return sorted(rows, key=lambda row: json.dumps(row["arguments"]))


def test_pgai_embeds(served: Database) -> None:
    served.execute("update loci.embedding_models set passage_prefix = '' where provider = 'pgai'")
    people = served.people()
    for text in ("apples", "bears", "cars"):
        served.document(people.acme, text)
    served.drain()
    assert served.waiting() == 0
    assert [row["content"] for row in served.search(people.ada, "bees", k=1, mode="vector")] == ["bears"]
    made = calls(served)
    assert {call["function"] for call in made} == {"openai"}
    assert {call["caller"] for call in made} == {"loci_worker", "loci_owner"}
    assert sum(call["arguments"]["texts"] for call in made) == 4
    assert max(call["arguments"]["texts"] for call in made) == 2
    for call in made:
        arguments = {key: value for key, value in call["arguments"].items() if key != "texts"}
        assert arguments["model"] == "text-embedding-3-tiny"
        assert arguments["dimensions"] == 32
        assert arguments["client_config"]["max_retries"] == 0
        assert "api_key" not in arguments


def test_address_and_key_are_those_of_the_gateway(served: Database) -> None:
    served.execute(
        "select loci.add_gateway('default', 'http://gateway.example/v1', 'env:PGAI_KEY', timeout_seconds => 7)"
    )
    config = "loci_private.model_config((select model_id from loci.embedding_models where name = %s))"
    served.execute("select loci.add_embedding_model('cohere/embed', 'pgai', 32)")
    served.execute(f"select loci_private.embed_texts(array['a'], {config}, 'query')", "text-embedding-3-tiny")
    served.execute(f"select loci_private.embed_texts(array['a'], {config}, 'query')", "cohere/embed")
    litellm, openai = sorted(calls(served), key=lambda call: str(call["function"]))
    assert openai["arguments"]["api_key_name"] == litellm["arguments"]["api_key_name"] == "PGAI_KEY"
    assert openai["arguments"]["client_config"] == {
        "max_retries": 0, "base_url": "http://gateway.example/v1", "timeout": 7,
    }  # fmt: skip
    assert litellm["function"] == "litellm"
    assert litellm["arguments"]["extra_options"] == {
        "num_retries": 0, "api_base": "http://gateway.example/v1", "timeout": 7,
    }  # fmt: skip
    served.execute("select loci.add_gateway('default', 'http://gateway.example/v1', 'file:/run/key')")
    with refused("LC277"):
        served.execute(f"select loci_private.embed_texts(array['a'], {config}, 'query')", "cohere/embed")


def test_no_extension(db: Database) -> None:
    """The Python package brings the catalogue without the functions."""
    db.execute("select loci.add_embedding_model('other', 'pgai', 32)")
    with refused("LC270"):
        db.execute("select loci.embed('x', 'other')")
    people = db.people()
    db.execute("select loci.use_embedding_model('other')")
    db.document(people.acme, "apples")
    db.drain()
    assert db.found(people.ada, "apples", mode="keyword") == {"apples"}
    assert db.value("select max(code) from loci.failures where model = 'other'") == "LC270"


def test_what_the_functions_say(served: Database) -> None:
    with refused("LC401") as errors:
        served.execute("select loci.embed('429', 'text-embedding-3-tiny')")
    detail = str(errors[0].diag.message_detail)
    assert "RateLimitError" in detail
    assert "abc123" not in detail
    served.execute(REVOKE)
    app = served.login_role("admin", "loci_admin")
    with served.connect(app) as connection, refused("LC277"):
        connection.execute("select loci.embed('x', 'text-embedding-3-tiny')")
