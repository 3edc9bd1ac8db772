"""Another model, other chunks: what is there is found until what is to come is complete, and never both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Database, People, wait_until
from tests.pipeline.background import background, wait_for_lock
from tests.pipeline.rows import chunks, consistent

MODES = ("vector", "keyword", "hybrid")
K = 5


@pytest.fixture
def db(new_database: Callable[..., Database]) -> Database:
    """Its default model takes long texts; 'small' takes short ones and counts otherwise, 'tiny' still shorter ones."""
    database = new_database()
    database.execute(
        "select loci.add_embedding_model('small', provider => 'hash', dimensions => 64, max_tokens => 64, tokenizer => 'o200k')"
    )
    database.execute(
        "select loci.add_embedding_model('tiny', provider => 'hash', dimensions => 64, max_tokens => 40, tokenizer => 'o200k')"
    )
    return database


@pytest.fixture
def people(db: Database) -> People:
    return db.people()


def text(n: int, words: int = 200) -> str:
    return f"Lighthouse {n}. " + " ".join(f"lamp{n} keeper{n % 7} stone{i}." for i in range(words // 4))


def write(db: Database, scope: UUID, count: int, words: int = 200, first: int = 0) -> list[UUID]:
    keys = [db.document(scope, text(first + n, words)) for n in range(count)]
    db.drain()
    settled(db)
    return keys


def serve(db: Database, model: str, provider: str = "hash") -> None:
    """provider 'nobody': nothing can be embedded with the model."""
    db.execute("update loci.embedding_models set provider = %s where name = %s", provider, model)
    db.execute("update loci_private.embed_queue set available_at = '-infinity' where lease is null")


def use(db: Database, model: str, organization: UUID | None = None) -> None:
    db.execute("select loci.use_embedding_model(%s, %s)", model, organization)


def fill(db: Database, model: str) -> None:
    """Begin to switch and get as far as that everything is split for the model and nothing embedded."""
    serve(db, model, "nobody")
    use(db, model)
    db.drain()
    assert active(db) != model and sets(db) != [1]


def active(db: Database, organization: UUID | None = None) -> Any:
    return db.value(
        "select m.name from loci_private.assignment_of(%s) as a join loci.embedding_models as m on m.model_id = a.active_model",
        organization,
    )


def sets(db: Database) -> list[int]:
    """How many sets of chunks rows have."""
    return [
        row["sets"]
        for row in db.rows(
            "select distinct s.sets from (select count(distinct chunking_id) as sets from loci_private.chunks group by row_id) as s"
            " order by 1"
        )
    ]


def settled(db: Database, *, one_model: bool = True) -> None:
    """One set of chunks a row, that of the model in use where it lives, and nothing left over of any other."""
    problems = db.rows(
        """
        select 'not of the chunking in use' as problem, c.chunk_id as id from loci_private.chunks as c
        where not exists (select from loci_private.wanted_vectors as w where w.chunk_id = c.chunk_id and w.in_use and w.coming)
        union all
        select 'two sets', c.row_id from loci_private.chunks as c group by c.row_id having count(distinct c.chunking_id) > 1
        union all
        select 'still switching', source_id from loci_private.chunking_assignments
        where surplus or active_chunking <> target_chunking
        union all
        select 'still filling', assignment_id from loci_private.model_assignments where active_model <> target_model
        """
    )
    assert problems == []
    for row in db.rows("select model_id from loci.embedding_models"):
        table = f"loci_private.embeddings_{row['model_id']}"
        assert not db.rows(
            f"""
            select e.chunk_id from {table} as e left join loci_private.chunks as c using (chunk_id)
            where (e.row_id, e.chunking_id, e.scope_id) is distinct from (c.row_id, c.chunking_id, c.scope_id)
            """
        )
        assert not db.rows(
            f"""
            select w.chunk_id from loci_private.wanted_vectors as w
            where w.model_id = %s and not exists (select from {table} as e where e.chunk_id = w.chunk_id)
            """,
            row["model_id"],
        )
    if one_model:
        consistent(db)


class Searcher:
    """Searches over and over in all modes. problems: results that were empty, short or mixed."""

    def __init__(self, db: Database, user: UUID) -> None:
        self.searches = 0
        self.problems: list[str] = []
        self.chunkings: set[frozenset[int]] = set()
        self._user = user
        self._connection = db.connect(db.app_role())
        self._look = db.connect()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for mode in MODES:
                    with self._connection.transaction():
                        self._connection.execute("select loci.act_as(%s)", (self._user,))
                        hits = self._connection.execute(
                            # Never the same question, so that none is answered from the cache.
                            "select chunk_id from loci.search('lighthouse keeper3 ' || %s, k => %s, mode => %s)",
                            (self.searches, K, mode),
                        ).fetchall()
                    self._judge(mode, [hit["chunk_id"] for hit in hits])
                    self.searches += 1
        except psycopg.Error as error:
            self.problems.append(repr(error))

    def _judge(self, mode: str, ids: list[int]) -> None:
        known = self._look.execute(
            "select chunk_id, array_agg(chunking_id) as sets from test_chunkings where chunk_id = any(%s) group by 1",
            (ids,),
        ).fetchall()
        if len(set(ids)) != K or len(known) != K:
            self.problems.append(f"{mode}: {len(ids)} hits")
        elif not (common := frozenset.intersection(*(frozenset(row["sets"]) for row in known))):
            self.problems.append(f"{mode}: mixed {known}")
        else:
            self.chunkings.add(common)

    def more(self) -> None:
        """Wait for some whole rounds from now on."""
        until = self.searches + 3 * len(MODES)
        wait_until(lambda: self.searches >= until or self.problems, "it searches")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        self._connection.close()
        self._look.close()
        assert self.problems == []


@contextmanager
def searching(db: Database, user: UUID) -> Iterator[Searcher]:
    # What chunking a chunk was of, also when it is gone.
    db.execute(
        """
        create table test_chunkings as select chunk_id, chunking_id from loci_private.chunks;
        create function test_chunkings() returns trigger language plpgsql security definer as $$
        begin
            insert into public.test_chunkings values (new.chunk_id, new.chunking_id);
            return null;
        end $$;
        create trigger test_chunkings after insert or update of chunking_id on loci_private.chunks
        for each row execute function test_chunkings();
        """
    )
    searcher = Searcher(db, user)
    try:
        searcher.more()
        yield searcher
        searcher.more()
    finally:
        searcher.stop()


@contextmanager
def writing(db: Database, keys: Sequence[UUID], scope: UUID) -> Iterator[None]:
    """Meanwhile rows are changed, inserted and deleted."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with db.connect() as connection:
                connection.execute("set statement_timeout = '20s'")
                n = 0
                while not stop.wait(0.02):
                    # As much as drains can bear on a machine with other things to do.
                    if connection.execute("select count(*) > 10 as many from loci_private.row_queue").fetchone() == {
                        "many": True
                    }:
                        continue
                    n += 1
                    connection.execute(
                        "update loci.documents set content = %s where document_id = %s",
                        (text(n % 50), keys[n % len(keys)]),
                    )
                    connection.execute(
                        "insert into loci.documents (scope_id, content) values (%s, %s)", (scope, text(n % 50))
                    )
                    if n % 3 == 0:
                        connection.execute(
                            "delete from loci.documents where document_id = (select document_id from loci.documents"
                            " where document_id <> all(%s) order by created_at desc limit 1)",
                            (keys,),
                        )
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert failed == []


@pytest.mark.parametrize("what", ["model", "chunking"])
def test_search_goes_on(db: Database, people: People, what: str) -> None:
    keys = write(db, people.acme, 30)
    before = sets(db)
    with searching(db, people.ada) as searcher:
        with writing(db, keys[:4], people.acme):
            if what == "model":
                use(db, "small")
            else:
                assert db.value("select loci.set_chunking('loci.documents', 100, 20)")
            # Two drains at a time, until it has come into use.
            while (
                db.rows("select from loci_private.chunking_assignments where active_chunking <> target_chunking")
                or searcher.searches < 20
            ):
                with background(db, "call loci.drain(5)") as one, background(db, "call loci.drain(5)") as other:
                    one.finish()
                    other.finish()
        db.drain()
    assert before == [1] and len(searcher.chunkings) >= 2, "it saw both"
    assert active(db) == ("small" if what == "model" else "hash")
    wait_until(lambda: db.drain() or db.waiting() == 0, "all is done")
    settled(db)
    limit = 50 if what == "model" else 100
    assert db.value("select max(token_count) <= %s and count(*) > 60 from loci_private.chunks", limit)


def test_a_question_that_was_embedded_before_the_switch(db: Database, people: People) -> None:
    """It is asked again of the model that has come into use meanwhile; the old vectors are gone."""
    write(db, people.acme, 8)
    use(db, "small")
    db.execute(
        """
        alter function loci_private.embed_texts rename to test_embed_texts;
        create function loci_private.embed_texts(texts text[], model jsonb, kind text) returns text[]
        language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
        begin
            perform pg_advisory_xact_lock_shared(7);
            return loci_private.test_embed_texts(texts, model, kind);
        end $$;
        alter function loci_private.embed_texts(text[], jsonb, text) owner to loci_owner;
        """
    )
    with db.connect() as gate, db.connect() as asking:
        gate.execute("select pg_advisory_lock(7)")
        found: list[Any] = []

        def ask() -> None:
            with asking.transaction():
                asking.execute("select loci.act_as(%s)", (people.ada,))
                found.extend(
                    asking.execute("select * from loci.search('lighthouse', k => 5, mode => 'vector')").fetchall()
                )

        db.execute("update loci.users set db_role = null")
        role = db.app_role()
        asking.execute(f'set session authorization "{role}"')
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        wait_until(
            lambda: db.rows(
                "select from pg_stat_activity where pid = %s and wait_event = 'advisory'", asking.info.backend_pid
            ),
            "the question is being embedded",
        )
        db.drain()
        settled(db)
        gate.execute("select pg_advisory_unlock(7)")
        thread.join(60)
    assert len(found) == 5
    assert all(hit["similarity"] > 0 for hit in found)


def test_vectors_and_likeness(db: Database, people: People) -> None:
    """All is there of what is to come and nothing of it in use: it is neither found nor asked with."""
    keys = write(db, people.acme, 6)

    def ask(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with db.acting(people.ada) as connection:
            found = connection.execute(f"select key, chunk_id, similarity from loci.{sql}", parameters).fetchall()  # type: ignore[arg-type]
        return [(row["key"], row["chunk_id"], row["similarity"]) for row in found]

    similar = ("similar('documents', %s, k => 100)", str(keys[0]))
    nearest = ("search_vector((select loci.embed('lighthouse 3 lamp3')), k => 100)",)
    before = [ask(*similar), ask(*nearest)]
    assert [len(found) for found in before] == [5, 6]
    db.execute("select loci.set_chunking('loci.documents', 100)")
    with db.connect() as holder:
        # Nobody can bring it into use meanwhile.
        holder.execute("begin; select from loci_private.chunking_assignments for key share")
        db.drain()
        assert db.waiting() == 0 and sets(db) == [2]
        assert [ask(*similar), ask(*nearest)] == before
        holder.execute("commit")
    db.drain()
    settled(db)
    assert len(ask(*similar)) == 5 and len(ask(*nearest)) > 6


def test_back_before_it_is_complete(db: Database, people: People) -> None:
    keys = write(db, people.acme, 6)
    before = [chunks(db, key) for key in keys]
    fill(db, "small")
    assert sets(db) == [2]
    use(db, "hash")
    assert active(db) == "hash"
    assert len(db.search(people.ada, "lighthouse", k=100)) == 6
    db.drain()
    settled(db)
    assert [chunks(db, key) for key in keys] == before, "nothing was cut or embedded anew"


def test_another_switch_meanwhile(db: Database, people: People) -> None:
    write(db, people.acme, 6)
    fill(db, "small")
    serve(db, "tiny", "nobody")
    use(db, "tiny")
    db.drain()
    # Those for the model that nobody wants any more are gone, without having been embedded.
    assert sets(db) == [2]
    assert len(db.search(people.ada, "lighthouse", k=100)) == 6
    serve(db, "tiny")
    db.drain()
    assert active(db) == "tiny"
    settled(db)
    assert db.value("select max(token_count) <= 28 from loci_private.chunks")


def test_a_chunking_while_the_model_is_switched(db: Database, people: People) -> None:
    write(db, people.acme, 6)
    fill(db, "small")
    # As far as 'small' is concerned this is no change; for the model in use it comes too late to matter.
    assert db.value("select loci.set_chunking('loci.documents', 120, 10)")
    db.drain()
    assert len(db.search(people.ada, "lighthouse", k=100)) == 6
    assert active(db) == "hash"
    serve(db, "small")
    db.drain()
    assert active(db) == "small"
    settled(db)
    use(db, "hash")
    db.drain()
    settled(db)
    assert db.value("select max(token_count) between 51 and 120 from loci_private.chunks")


def test_a_chunking_and_back_and_forth(db: Database, people: People) -> None:
    write(db, people.acme, 6)
    serve(db, "hash", "nobody")
    assert db.value("select loci.set_chunking('loci.documents', 100)")
    db.drain()
    assert sets(db) == [2]
    db.execute("update loci.embedding_models set provider = 'hash'")
    assert len(db.search(people.ada, "lighthouse", k=100)) == 6
    assert not db.value("select loci.set_chunking('loci.documents', 400)")
    assert db.value("select loci.set_chunking('loci.documents', 100)")
    db.execute("update loci_private.embed_queue set available_at = '-infinity'")
    db.drain()
    settled(db)
    assert len(db.search(people.ada, "lighthouse", k=100)) > 6


def test_organizations_with_a_model_of_their_own(db: Database, people: People) -> None:
    write(db, people.acme, 6)
    write(db, people.umbrella, 6, first=100)
    db.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.umbrella, people.ada
    )

    def hits(organization: UUID) -> int:
        return len([row for row in db.search(people.ada, "lighthouse", k=1000) if row["scope_id"] == organization])

    serve(db, "small", "nobody")
    use(db, "small", people.acme)
    db.drain()
    assert (hits(people.acme), hits(people.umbrella)) == (6, 6), "nothing half"
    serve(db, "small")
    db.drain()
    assert (active(db, people.acme), active(db, people.umbrella)) == ("small", "hash")
    settled(db, one_model=False)
    assert hits(people.acme) > 20 and hits(people.umbrella) == 6
    # The default changes, the organization does not; then it wants what the others have.
    use(db, "tiny")
    db.drain()
    assert (active(db, people.acme), active(db)) == ("small", "tiny")
    settled(db, one_model=False)
    serve(db, "tiny", "nobody")
    db.execute("update loci.organizations set embedding_model = null where organization_id = %s", people.acme)
    db.drain()
    # By words only, as the default model cannot embed the question.
    assert active(db, people.acme) == "small" and hits(people.acme) == 6
    serve(db, "tiny")
    db.drain()
    assert active(db, people.acme) == "tiny"
    assert db.value("select count(*) from loci_private.model_assignments") == 1
    settled(db)


def test_back_to_a_default_that_is_itself_being_switched(db: Database, people: People) -> None:
    """It has the new model first: it must not fall back to the old one, whose vectors it does not have."""
    write(db, people.acme, 4)
    use(db, "small", people.acme)
    db.drain()
    other = db.document(people.umbrella, text(1))
    db.drain()
    serve(db, "tiny", "nobody")
    use(db, "tiny")
    db.execute("update loci.organizations set embedding_model = null where organization_id = %s", people.acme)
    db.drain()
    assert (active(db), active(db, people.acme)) == ("hash", "small")
    assert len(db.search(people.ada, "lighthouse", k=3, mode="vector")) == 3
    # Changed again before it got there.
    use(db, "hash")
    db.drain()
    assert active(db, people.acme) == "hash"
    assert len(db.search(people.ada, "lighthouse", k=100, mode="vector")) == 4
    assert db.value("select count(*) from loci_private.model_assignments") == 1
    assert chunks(db, other)
    settled(db)


def test_the_old_model_is_dropped(db: Database, people: People) -> None:
    write(db, people.acme, 4)
    use(db, "small")
    with pytest.raises(psycopg.Error) as refused:
        db.execute("select loci.drop_embedding_model('hash')")
    assert refused.value.sqlstate == "LC215"
    # Between the switch and the removal of what is left over.
    while not db.value("select loci_private.activate_complete()"):
        with db.connect() as drain:
            drain.execute("update loci.settings set value = '1' where name = 'drain_seconds'")
            drain.execute("call loci.drain(1)")
        if active(db) == "small":
            break
    db.execute("select loci.drop_embedding_model('hash')")
    assert len(db.search(people.ada, "lighthouse", k=4, mode="vector")) == 4
    db.drain()
    settled(db)


def test_rows_change_meanwhile(db: Database, people: People) -> None:
    keys = write(db, people.acme, 6)
    fill(db, "small")
    db.execute("update loci.documents set content = 'A heron. ' || content where document_id = %s", keys[0])
    db.execute("delete from loci.documents where document_id = %s", keys[1])
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.umbrella, keys[2])
    db.execute("update loci.documents set audience = %s where document_id = %s", [people.bob], keys[3])
    db.execute("update loci.documents set content = null where document_id = %s", keys[4])
    new = db.document(people.acme, text(77))
    # At once, before any drain.
    assert {row["key"] for row in db.search(people.ada, "lighthouse", k=100)} == {
        str(k) for k in (keys[0], keys[4], keys[5])
    }
    db.drain()

    def found(user: UUID) -> set[str]:
        return {row["key"] for row in db.search(user, "lighthouse heron", k=1000, mode="keyword")}

    for _ in range(2):
        assert found(people.ada) == {str(k) for k in (keys[0], keys[5], new)}
        assert found(people.bob) == {str(k) for k in (keys[0], keys[3], keys[5], new)}
        assert found(people.eve) == {str(keys[2])}
        serve(db, "small")
        db.drain()
    assert active(db) == "small"
    settled(db)


def test_a_row_moves_to_an_organization_that_is_not_switched(db: Database, people: People) -> None:
    (key, *_) = write(db, people.acme, 3)
    serve(db, "small", "nobody")
    use(db, "small", people.acme)
    db.drain()
    assert len({chunk["chunking_id"] for chunk in chunks(db, key)}) == 2
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.umbrella, key)
    # Not in its old place, and in its new one never twice.
    assert str(key) not in {row["key"] for row in db.search(people.ada, "lighthouse", k=100)}
    assert len(db.search(people.eve, "lighthouse", k=100)) <= 1
    db.drain()
    assert [row["key"] for row in db.search(people.eve, "lighthouse", k=100)] == [str(key)]
    serve(db, "small")
    db.drain()
    settled(db, one_model=False)


def test_redaction_is_turned_on_meanwhile(db: Database, people: People) -> None:
    key = db.document(people.acme, "Mail ada@example.org. " + text(1))
    db.drain()
    fill(db, "small")
    db.execute("update loci.organizations set settings = '{\"redact\": true}' where organization_id = %s", people.acme)
    serve(db, "small")
    db.drain()
    settled(db)
    assert active(db) == "small"
    (first, *_) = chunks(db, key)
    assert "[EMAIL]" in first["redacted"] and "ada@example.org" in first["content"]
    assert db.value("select count(*) from loci_private.chunks where content ~ 'ada@' and redacted is null") == 0


@pytest.mark.parametrize("how", ["truncate", "unwatch", "unwatch and keep", "drop"])
def test_a_table_goes_meanwhile(db: Database, people: People, how: str) -> None:
    write(db, people.acme, 3)
    db.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
    db.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
    for n in range(3):
        db.execute("insert into app.notes values (%s, %s, %s)", n, text(n), people.acme)
    db.drain()
    fill(db, "small")
    db.execute(
        {
            "truncate": "truncate app.notes",
            "unwatch": "select loci.unwatch('app.notes')",
            "unwatch and keep": "select loci.unwatch('app.notes', drop_index => false)",
            "drop": "drop table app.notes",
        }[how]
    )
    if how == "drop":
        db.value("select loci.reconcile()")
    serve(db, "small")
    db.drain()
    assert active(db) == "small"
    notes = [row for row in db.search(people.ada, "lighthouse", k=1000) if row["source"] == "notes"]
    if how == "unwatch and keep":
        # It cannot be read any more: its chunks stay as they were cut, and are embedded by the new model.
        assert len(notes) == 3 and all(row["similarity"] is not None for row in notes)
        db.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
        db.drain()
        assert db.value("select max(token_count) <= 50 from loci_private.chunks")
    else:
        assert notes == []
    settled(db)


def test_what_is_cut_the_same_is_not_paid_twice(db: Database, people: People) -> None:
    """Nothing can be embedded, and nothing has to be."""
    keys = write(db, people.acme, 5, words=20)
    serve(db, "hash", "nobody")
    assert db.value("select loci.set_chunking('loci.documents', 200, 0)")
    db.drain()
    settled(db)
    assert all(chunk["embedded_at"] for key in keys for chunk in chunks(db, key))


def test_a_text_that_cannot_be_embedded_holds_nothing_up(db: Database, people: People) -> None:
    keys = write(db, people.acme, 4)
    fill(db, "small")
    serve(db, "small")
    parked = db.value(
        "select min(w.chunk_id) from loci_private.wanted_vectors as w join loci.embedding_models as m using (model_id)"
        " where m.name = 'small'"
    )
    db.execute(
        """
        with taken as (delete from loci_private.embed_queue where chunk_id = %s returning *)
        insert into loci_private.failures (stage, source_id, key, chunk_id, model_id, attempts, error, enqueued_at, failed_at)
        select 'embed', 1, %s, chunk_id, model_id, 4, '{}', now(), now() from taken
        """,
        parked,
        str(keys[0]),
    )
    db.drain()
    assert active(db) == "small"
    assert sets(db) == [1]
    assert db.value("select count(*) from loci_private.failures") == 1
    db.execute("select loci.retry_failures()")
    db.drain()
    settled(db)


def test_fresh_rows_do_not_wait_behind_a_switch(db: Database, people: People) -> None:
    """A whole table is to be split anew; it is queued a few rows at a time."""
    write(db, people.acme, 20, words=20)
    db.execute("update loci.settings set value = '5' where name = 'split_batch'")
    use(db, "small")
    assert db.waiting() == 0
    assert [db.value("select loci_private.feed_rows()") for _ in range(5)] == [5, 5, 5, 5, 0]
    db.drain()
    settled(db)


def test_nobody_waits_for_what_is_stored(db: Database, people: People) -> None:
    """A drain that finds the chunking being changed comes back to the row; an application notices nothing."""
    write(db, people.acme, 2)
    with db.connect() as admin:
        admin.execute("begin")
        admin.execute("select loci.set_chunking('loci.documents', 100)")
        key = db.document(people.acme, "An owl.")
        db.drain()
        assert db.value("select last_error ->> 'sqlstate' from loci_private.row_queue") == "55P03"
        admin.execute("commit")
    db.execute("update loci_private.row_queue set available_at = '-infinity'")
    db.drain()
    settled(db)
    assert [chunk["content"] for chunk in chunks(db, key)] == ["An owl."]
    # And the other way round: the switch begins when what is being stored is there to be seen.
    with db.connect() as drain:
        drain.execute("begin")
        drain.execute("select from loci_private.chunking_assignments for key share")
        with background(db, "select loci.set_chunking('loci.documents', 200)") as setting:
            wait_for_lock(db, setting)
            drain.execute("commit")
            setting.finish()
    db.drain()
    settled(db)


def test_a_row_that_was_read_before_the_switch_began(db: Database, people: People) -> None:
    db.document(people.acme, "An owl.")
    lease = db.value("select gen_random_uuid()")
    (claim,) = db.rows("select * from loci_private.claim_rows(%s)", lease)
    (chunking,) = db.rows("select * from loci_private.chunkings_of(1, %s)", people.acme)
    write_set = (
        "select loci_private.store_row(1, %s, %s, %s, %s, null, null, '{}', 0, jsonb_build_array(jsonb_build_object("
        "'chunking_id', %s::int, 'context', null, 'chunks', '[{\"content\": \"An owl.\", \"token_count\": 3}]'::jsonb)), %s, '')"
    )
    given = (claim["key"], claim["queue_id"], people.acme, people.acme, chunking["chunking_id"], lease)
    document = db.document(people.umbrella, text(1))
    use(db, "small")
    assert active(db) == "small", "nothing was there yet"
    assert db.value(write_set, *given) is False
    assert db.value("select count(*) from loci_private.chunks") == 0
    assert db.value("select count(*) from loci_private.row_queue where key = %s", claim["key"]) == 2
    db.execute("select loci_private.put_back('row_queue', %s, array[%s::bigint])", lease, claim["queue_id"])
    db.drain()
    settled(db)
    assert chunks(db, document)


def test_reconcile_repairs_gaps(db: Database, people: People) -> None:
    keys = write(db, people.acme, 4)
    fill(db, "small")
    in_use = db.value("select active_chunking from loci_private.chunking_assignments where source_id = 1")
    row = "row_id = (select row_id from loci_private.source_rows where key = %s)"
    # The chunks in use of one row, those to come of another; a vector of a chunk that is not there.
    db.execute(f"delete from loci_private.chunks where chunking_id = %s and {row}", in_use, str(keys[0]))
    db.execute(f"delete from loci_private.chunks where chunking_id <> %s and {row}", in_use, str(keys[1]))
    db.execute("delete from loci_private.embed_queue")
    assert db.value("select loci.reconcile()") > 0
    serve(db, "small")
    db.drain()
    assert active(db) == "small"
    settled(db)
    assert {r["key"] for r in db.search(people.ada, "lighthouse", k=1000)} == {str(key) for key in keys}

    # Chunks that nobody wants and nobody knows of.
    use(db, "hash")
    db.drain()
    settled(db)
    db.execute(
        """
        insert into loci_private.chunks (row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, text_hash,
            token_count, lexemes, created_at, updated_at)
        select c.row_id, c.source_id, k.chunking_id, c.organization_id, c.scope_id, c.ordinal, 'Left over: ' || c.content,
            c.text_hash, c.token_count, c.lexemes, c.created_at, c.updated_at
        from loci_private.chunks as c join loci_private.chunkings as k on k.source_id = c.source_id and k.max_tokens = 64
        """
    )
    assert db.value("select count(*) from loci_private.chunks") == 8
    db.value("select loci.reconcile()")
    assert len(db.search(people.ada, "lighthouse", k=100, mode="keyword")) == 4
    db.drain()
    settled(db)
    assert db.value("select loci.reconcile()") == 0


def test_reconcile_finds_rows_whose_user_joined_an_organization(db: Database, people: People) -> None:
    ann = db.user("ann@example.org")
    key = db.document(ann, text(1))
    db.drain()
    use(db, "small", people.acme)
    db.drain()
    db.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.acme, ann)
    # As if that had been missed.
    db.execute("delete from loci_private.row_queue")
    assert db.value("select loci.reconcile()") == 1
    db.drain()
    assert {chunk["organization_id"] for chunk in chunks(db, key)} == {people.acme}
    assert len(db.search(ann, "lighthouse", k=3, mode="vector")) == 3
    settled(db, one_model=False)


def test_progress_and_status_tell_how_far_it_is(db: Database, people: People) -> None:
    write(db, people.acme, 4)

    def progress() -> dict[str, Any]:
        return db.rows("select * from loci.progress")[0]

    calm = progress()
    assert calm["switching"] is None and calm["percent"] == 100
    serve(db, "small", "nobody")
    use(db, "small")
    assert progress()["switching"] == 0
    model = db.rows("select * from loci.status() where component = 'model'")[0]
    assert not model["ok"]
    assert model["detail"] == "small is filling, chunks to go: 0 and more rows to split; queries use hash"
    db.drain()
    waiting = db.value("select count(*) from loci_private.embed_queue")
    model = db.rows("select * from loci.status() where component = 'model'")[0]
    assert model["detail"] == f"small is filling, chunks to go: {waiting}; queries use hash"
    filling = progress()
    assert (filling["rows"], filling["chunks"], filling["embedded"]) == (4, calm["chunks"], calm["embedded"])
    assert filling["pending"] == waiting
    db.execute(
        "delete from loci_private.embed_queue where queue_id in (select queue_id from loci_private.embed_queue limit %s)",
        waiting // 2,
    )
    assert 40 < progress()["switching"] < 60
    db.value("select loci.reconcile()")
    serve(db, "small")
    db.drain()
    assert progress()["switching"] is None
    assert db.rows("select * from loci.status() where component = 'model'")[0]["ok"]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("set_chunking('loci.documents', 99)", "LC202"),
        ("set_chunking('loci.documents', 2001)", "LC202"),
        ("set_chunking('loci.documents', 100, 51)", "LC202"),
        ("set_chunking('loci.documents', chunk_overlap => -1)", "LC202"),
        ("set_chunking('loci.users', 100)", "LC253"),
        ("set_chunking(0::oid::regclass, 100)", "LC240"),
        ("set_chunking(null, 100)", "LC240"),
    ],
)
def test_what_set_chunking_refuses(db: Database, call: str, code: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        db.execute(f"select loci.{call}")
    assert refused.value.sqlstate == code
    assert refused.value.diag.message_hint


def test_only_the_owner_sets_the_chunking(db: Database, people: People) -> None:
    admin = db.login_role("chunker", "loci_admin")
    db.execute("create schema app; create table app.notes (id int primary key, body text, place uuid)")
    db.execute("select loci.watch('app.notes', content => 'body', scope => 'place', name => 'notes')")
    with db.connect(admin) as connection:
        with pytest.raises(psycopg.Error) as refused:
            connection.execute("select loci.set_chunking('app.notes'::regclass, 100)")
        assert refused.value.sqlstate in ("LC243", "42501")
    db.execute(f'alter table app.notes owner to "{admin}"; grant usage on schema app to "{admin}"')
    with db.connect(admin) as connection:
        # Nothing is in it yet, so there is nothing to wait for.
        assert connection.execute("select loci.set_chunking('app.notes', 100) as begun").fetchone() == {"begun": False}
    assert db.value("select chunk_tokens from loci.sources where name = 'notes'") == 100
    with db.acting(people.ada) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute("select loci.set_chunking('loci.documents', 100)")
    assert refused.value.sqlstate == "42501"
